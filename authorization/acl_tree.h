/* The rules of an access control list, by the levels of their Topic Filters.
 *
 * One tree for each set of rules that apply together, all in one table. Built by one thread, then
 * read by any. Rules are named by their lines; where several say the same, the first counts. */
#ifndef AUTHORIZATION_ACL_TREE_H
#define AUTHORIZATION_ACL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "authorization/acl_names.h"

/* More levels than a topic may have (broker/publish.h) match nothing. */
enum { ACL_LEVELS_MAX = 200 };

enum { ACL_GRANT_READ = 1, ACL_GRANT_WRITE = 2, ACL_GRANT_DENY = 4 };

/* The lines of the rules that end at a node; 0: none. */
struct acl_rights {
    uint32_t deny, read, write;
};

struct acl_node {
    struct acl_rights here;             /* a/b */
    struct acl_rights below;            /* a/b/#, which is a/b too */
    uint32_t first_child, next_sibling; /* those of fixed text */
    uint32_t plus, client, user;        /* the children +, %c and %u */
};

struct acl_tree {
    struct acl_names names;
    struct acl_node *nodes; /* by number in `names` */
    uint32_t capacity, roots;
};

/* What %c and %u stand for. */
struct acl_values {
    struct bytes client_identifier, user_name;
};

/* A topic or filter, cut into its levels. */
struct acl_levels {
    struct bytes level[ACL_LEVELS_MAX];
    uint32_t count;
};

/* False: there are more than ACL_LEVELS_MAX. */
bool acl_tree_cut(struct bytes text, struct acl_levels *out);

void acl_tree_fini(struct acl_tree *tree);
enum status MUST_USE acl_tree_new_root(struct acl_tree *tree, uint32_t *out);
/* `filter` is a valid plain Topic Filter. `substitutes`: its levels %c and %u stand for names. */
enum status MUST_USE acl_tree_add(struct acl_tree *tree, uint32_t root,
                                  const struct acl_levels *filter, bool substitutes, uint8_t grants,
                                  uint32_t line);

/* The first rules below `root` that a Topic Name matches, added to what `found` has. */
void acl_tree_match(const struct acl_tree *tree, uint32_t root, const struct acl_values *values,
                    const struct acl_levels *topic, struct acl_rights *found);

/* Looks for a rule below `root` that lets some topic of `filter` be read, and of which no single
 * rule below one of `deny_roots` takes all that the two have in common. Returns its line, or 0;
 * where there was such a rule but a denial took it, that one's line goes to `*out_denied_by`. */
uint32_t acl_tree_readable(const struct acl_tree *tree, uint32_t root, const uint32_t *deny_roots,
                           uint32_t deny_root_count, const struct acl_values *values,
                           const struct acl_levels *filter, uint32_t *out_denied_by);

#endif
