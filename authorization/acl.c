#include "authorization/acl.h"

#include <stdlib.h>
#include <string.h>

#include "authorization/acl_list.h"
#include "base/file.h"

struct acl_client {
    const struct acl *acl;
    struct acl_values values;      /* in `memory` */
    bool unsafe_name;              /* patterns grant nothing */
    uint32_t own_count, all_count; /* roots of its user and groups; these and of patterns */
    uint32_t *roots;               /* in `memory` */
    max_align_t memory[];
};

enum status acl_load_text(const char *path, struct bytes text, struct acl **out, char *error,
                          size_t error_size)
{
    struct acl *acl = calloc(1, sizeof *acl);
    error[0] = '\0';
    enum status status = STATUS_NO_MEMORY;
    if (acl != NULL)
        status = acl_compile(path, text, acl, error, error_size);
    if (status == STATUS_OK)
        *out = acl;
    else
        acl_free(acl);
    return status;
}

enum status acl_load(const char *path, struct acl **out, char *error, size_t error_size)
{
    struct buffer text = {0};
    enum status status = file_read(path, ACL_FILE_MAX, &text, error, error_size);
    if (status == STATUS_OK)
        status = acl_load_text(path, bytes_of(text.data, text.size), out, error, error_size);
    buffer_fini(&text);
    return status;
}

void acl_free(struct acl *acl)
{
    if (acl == NULL)
        return;
    acl_names_fini(&acl->section_names);
    acl_tree_fini(&acl->tree);
    buffer_fini(&acl->texts);
    free(acl->sections);
    free(acl->blocks);
    free(acl->conditions);
    free(acl->memberships);
    free(acl);
}

uint32_t acl_rule_count(const struct acl *acl)
{
    return acl->rule_count;
}

void acl_visit_listeners(const struct acl *acl,
                         void (*visit)(void *context, struct bytes name, uint32_t line),
                         void *context)
{
    for (uint32_t i = 1; i < acl->condition_count; i++) {
        const struct acl_condition *condition = &acl->conditions[i];
        if (condition->kind == ACL_CONDITION_LISTENER)
            visit(context, bytes_of(acl->texts.data + condition->offset, condition->size),
                  condition->line);
    }
}

/* ---- What concerns a client ---- */

/* Whether "OU=sensors" is one of the attributes of "CN=sensor-7,OU=sensors,O=Acme". */
static bool has_attribute(struct bytes subject, struct bytes attribute)
{
    size_t from = 0;
    for (size_t i = 0; subject.size > 0 && i <= subject.size; i++) {
        if (i < subject.size && subject.data[i] == '\\') {
            i++; /* what stands behind it separates nothing */
            continue;
        }
        if (i < subject.size && subject.data[i] != ',' && subject.data[i] != '+')
            continue;
        if (bytes_equal(bytes_of(subject.data + from, i - from), attribute))
            return true;
        from = i + 1;
    }
    return false;
}

static bool applies(const struct acl *acl, const struct acl_block *block,
                    const struct acl_subject *subject)
{
    for (uint32_t i = 0; i < block->condition_count; i++) {
        const struct acl_condition *condition = &acl->conditions[block->first_condition + i];
        struct bytes wanted = bytes_of(acl->texts.data + condition->offset, condition->size);
        bool holds = condition->kind == ACL_CONDITION_LISTENER
                         ? bytes_equal(subject->listener, wanted)
                         : has_attribute(subject->certificate_subject, wanted);
#ifdef SEEDED_BUG_ACL_CONDITION_IGNORED
        holds = true;
#endif
        if (!holds)
            return false;
    }
    return true;
}

/* Appends the roots of a section's blocks to `roots`, unless it is NULL; returns how many. */
static uint32_t collect(const struct acl *acl, uint32_t section, const struct acl_subject *subject,
                        uint32_t *roots)
{
    uint32_t count = 0;
    if (section == 0)
        return 0;
    for (uint32_t i = acl->sections[section].first_block; i != 0; i = acl->blocks[i].next) {
        if (!applies(acl, &acl->blocks[i], subject))
            continue;
        if (roots != NULL)
            roots[count] = acl->blocks[i].root;
        count++;
    }
    return count;
}

/* Of whom it is, and of the groups that it is in. */
static uint32_t collect_own(const struct acl *acl, const struct acl_subject *subject,
                            uint32_t *roots)
{
    const struct bytes none = bytes_of(NULL, 0);
    uint32_t section =
        subject->anonymous
            ? acl_names_find(&acl->section_names, ACL_SECTION_ANONYMOUS, none)
            : acl_names_find(&acl->section_names, ACL_SECTION_USER, subject->user_name);
    uint32_t count = collect(acl, section, subject, roots);
    uint32_t group = section != 0 ? acl->sections[section].first_group : 0;
    for (; group != 0; group = acl->memberships[group].next)
        count += collect(acl, acl->memberships[group].group, subject,
                         roots != NULL ? roots + count : NULL);
    return count;
}

static uint32_t collect_patterns(const struct acl *acl, const struct acl_subject *subject,
                                 uint32_t *roots)
{
    uint32_t section = acl_names_find(&acl->section_names, ACL_SECTION_PATTERNS, bytes_of(NULL, 0));
    return collect(acl, section, subject, roots);
}

/* A name that could stand for more than one topic level, or for topics of the Server's. */
static bool is_unsafe(struct bytes name)
{
#ifdef SEEDED_BUG_ACL_NAMES_TRUSTED
    return false;
#endif
    if (name.size == 0 || name.data[0] == '$')
        return true;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '+' || name.data[i] == '#' || name.data[i] == '/')
            return true;
    }
    return false;
}

static struct bytes copy(uint8_t **to, struct bytes text)
{
    uint8_t *begin = *to;
    *to = put_bytes(begin, text);
    return bytes_of(begin, text.size);
}

struct acl_client *acl_client_new(const struct acl *acl, const struct acl_subject *subject)
{
    struct bytes user_name = subject->anonymous ? bytes_of(NULL, 0) : subject->user_name;
    uint32_t own_count = collect_own(acl, subject, NULL);
    uint32_t all_count = own_count + collect_patterns(acl, subject, NULL);
    struct acl_client *client = malloc(sizeof *client + all_count * sizeof client->roots[0] +
                                       subject->client_identifier.size + user_name.size);
    if (client == NULL)
        return NULL;
    *client = (struct acl_client){.acl = acl, .own_count = own_count, .all_count = all_count};
    client->roots = (uint32_t *)client->memory;
    collect_own(acl, subject, client->roots);
    collect_patterns(acl, subject, client->roots + own_count);
    uint8_t *texts = (uint8_t *)(client->roots + all_count);
    client->values.client_identifier = copy(&texts, subject->client_identifier);
    client->values.user_name = copy(&texts, user_name);
    client->unsafe_name = (acl->uses_client_identifier && is_unsafe(subject->client_identifier)) ||
                          (acl->uses_user_name && !subject->anonymous && is_unsafe(user_name));
    return client;
}

void acl_client_free(struct acl_client *client)
{
    free(client);
}

/* ---- What it may ---- */

static struct acl_verdict verdict(bool allowed, uint32_t line)
{
    return (struct acl_verdict){.allowed = allowed, .reason = ACL_REASON_RULE, .line = line};
}

static struct acl_verdict nothing_grants(const struct acl_client *client)
{
    return (struct acl_verdict){.reason = client->unsafe_name ? ACL_REASON_UNSAFE_NAME
                                                              : ACL_REASON_NO_RULE};
}

/* The roots of what counts for it: its own, then, in a second round, those of patterns. */
static uint32_t rounds(const struct acl_client *client, uint32_t *ends)
{
    ends[0] = client->own_count;
    ends[1] = client->all_count;
    return client->unsafe_name ? 1 : 2;
}

struct acl_verdict acl_client_may(const struct acl_client *client, enum acl_action action,
                                  struct bytes topic)
{
    struct acl_levels levels;
    uint32_t ends[2];
    if (!acl_tree_cut(topic, &levels))
        return nothing_grants(client);
    uint32_t round_count = rounds(client, ends);
    for (uint32_t round = 0, i = 0; round < round_count; round++) {
        struct acl_rights found = {0};
        for (; i < ends[round]; i++)
            acl_tree_match(&client->acl->tree, client->roots[i], &client->values, &levels, &found);
        uint32_t line = action == ACL_READ ? found.read : found.write;
#ifndef SEEDED_BUG_ACL_DENY_LAST
        if (found.deny != 0)
            return verdict(false, found.deny);
#endif
        if (line != 0)
            return verdict(true, line);
        if (found.deny != 0)
            return verdict(false, found.deny);
    }
    return nothing_grants(client);
}

struct acl_verdict acl_client_may_subscribe(const struct acl_client *client, struct bytes filter)
{
    struct acl_levels levels;
    uint32_t ends[2], denied_by = 0;
    if (!acl_tree_cut(filter, &levels))
        return nothing_grants(client);
    uint32_t round_count = rounds(client, ends);
    for (uint32_t round = 0, i = 0; round < round_count; round++) {
        for (; i < ends[round]; i++) {
            /* A denial of the client's own rules holds against patterns too, not the reverse. */
            uint32_t line = acl_tree_readable(&client->acl->tree, client->roots[i], client->roots,
                                              ends[round], &client->values, &levels, &denied_by);
            if (line != 0)
                return verdict(true, line);
        }
    }
    return denied_by != 0 ? verdict(false, denied_by) : nothing_grants(client);
}
