/* An access control list as acl_compile.c makes it and acl.c reads it. */
#ifndef AUTHORIZATION_ACL_LIST_H
#define AUTHORIZATION_ACL_LIST_H

#include "authorization/acl.h"
#include "authorization/acl_names.h"
#include "authorization/acl_tree.h"

/* The parents of sections in their table of names. */
enum acl_section_kind {
    ACL_SECTION_ANONYMOUS = 1, /* the one without a name, before the first other */
    ACL_SECTION_USER,
    ACL_SECTION_GROUP,
    ACL_SECTION_PATTERNS, /* one, without a name: of all clients */
};

struct acl_section {
    uint32_t first_block; /* 0: none, as in all chains here: [0] is unused everywhere */
    uint32_t first_group; /* of a user: a membership */
};

/* Rules of a section that apply together. */
struct acl_block {
    uint32_t next;                             /* of the section */
    uint32_t root;                             /* in the tree */
    uint32_t first_condition, condition_count; /* all of them have to hold */
};

enum acl_condition_kind { ACL_CONDITION_LISTENER, ACL_CONDITION_CERTIFICATE };

struct acl_condition {
    enum acl_condition_kind kind;
    uint32_t line, size;
    size_t offset; /* in `texts`: a listener's name, or an attribute of a certificate's subject */
};

struct acl_membership {
    uint32_t next;  /* of the user */
    uint32_t group; /* section */
};

struct acl {
    struct acl_names section_names;
    struct acl_section *sections; /* by number in `section_names` */
    struct acl_block *blocks;
    struct acl_condition *conditions;
    struct acl_membership *memberships;
    uint32_t section_capacity, block_count, condition_count, membership_count;
    struct buffer texts;
    struct acl_tree tree;
    uint32_t rule_count;
    bool uses_client_identifier, uses_user_name; /* some pattern does */
};

/* Fills a zeroed list from a file's text; the caller frees it, whatever comes of this. INVALID:
 * `error` has the place and what is wrong. */
enum status MUST_USE acl_compile(const char *path, struct bytes text, struct acl *acl, char *error,
                                 size_t error_size);

#endif
