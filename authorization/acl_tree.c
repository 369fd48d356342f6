#include "authorization/acl_tree.h"

#include <stdlib.h>
#include <string.h>

/* The parent of +, %c and %u in the table: no level of a topic is found there. */
enum { SPECIAL = 1u << 30 };

static bool is(struct bytes level, const char *text)
{
    return bytes_equal(level, bytes_of_text(text));
}

static bool is_special_topic(struct bytes level)
{
    return level.size > 0 && level.data[0] == '$';
}

bool acl_tree_cut(struct bytes text, struct acl_levels *out)
{
    size_t from = 0;
    out->count = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != '/')
            continue;
        if (out->count == ACL_LEVELS_MAX)
            return false;
        out->level[out->count++] = bytes_of(text.data + from, i - from);
        from = i + 1;
    }
    return true;
}

/* ---- Building ---- */

void acl_tree_fini(struct acl_tree *tree)
{
    acl_names_fini(&tree->names);
    free(tree->nodes);
    *tree = (struct acl_tree){0};
}

static enum status add_node(struct acl_tree *tree, uint32_t parent, struct bytes name,
                            uint32_t *out)
{
    TRY(acl_names_add(&tree->names, parent, name, out));
    if (*out < tree->capacity)
        return STATUS_OK;
    uint32_t capacity = tree->names.capacity;
    struct acl_node *nodes = realloc(tree->nodes, capacity * sizeof *nodes);
    if (nodes == NULL)
        return STATUS_NO_MEMORY;
    memset(nodes + tree->capacity, 0, (capacity - tree->capacity) * sizeof *nodes);
    tree->nodes = nodes;
    tree->capacity = capacity;
    return STATUS_OK;
}

enum status acl_tree_new_root(struct acl_tree *tree, uint32_t *out)
{
    uint32_t number = tree->roots++;
    return add_node(tree, 0, bytes_of(&number, sizeof number), out);
}

static enum status add_special(struct acl_tree *tree, uint32_t parent, struct bytes level,
                               uint32_t *out)
{
    TRY(add_node(tree, parent | SPECIAL, level, out));
    struct acl_node *node = &tree->nodes[parent];
    *(is(level, "+") ? &node->plus : is(level, "%c") ? &node->client : &node->user) = *out;
    return STATUS_OK;
}

static enum status add_level(struct acl_tree *tree, uint32_t parent, struct bytes level,
                             bool substitutes, uint32_t *out)
{
    if (is(level, "+") || (substitutes && (is(level, "%c") || is(level, "%u"))))
        return add_special(tree, parent, level, out);
    uint32_t before = tree->names.count;
    TRY(add_node(tree, parent, level, out));
    if (*out > before) {
        tree->nodes[*out].next_sibling = tree->nodes[parent].first_child;
        tree->nodes[parent].first_child = *out;
    }
    return STATUS_OK;
}

static void note(uint32_t *line, uint32_t other)
{
    if (other != 0 && (*line == 0 || other < *line))
        *line = other;
}

enum status acl_tree_add(struct acl_tree *tree, uint32_t root, const struct acl_levels *filter,
                         bool substitutes, uint8_t grants, uint32_t line)
{
    uint32_t node = root;
    bool below = is(filter->level[filter->count - 1], "#");
    for (uint32_t i = 0; i < filter->count - below; i++)
        TRY(add_level(tree, node, filter->level[i], substitutes, &node));
    struct acl_rights *rights = below ? &tree->nodes[node].below : &tree->nodes[node].here;
    note(&rights->deny, grants & ACL_GRANT_DENY ? line : 0);
    note(&rights->read, grants & ACL_GRANT_READ ? line : 0);
    note(&rights->write, grants & ACL_GRANT_WRITE ? line : 0);
    return STATUS_OK;
}

/* ---- What a topic matches ---- */

/* Whether a level is the name that %c or %u stands for; who has no name is none of them. */
static bool stands_for(struct bytes level, struct bytes name)
{
    return name.size > 0 && bytes_equal(level, name);
}

struct match {
    const struct acl_tree *tree;
    const struct acl_values *values;
    const struct acl_levels *topic;
    struct acl_rights *found;
};

static void note_all(struct acl_rights *found, const struct acl_rights *rights)
{
    note(&found->deny, rights->deny);
    note(&found->read, rights->read);
    note(&found->write, rights->write);
}

/* A wildcard at the beginning matches no topic that begins with $ [MQTT-4.7.2-1]. */
static bool wildcards_match(const struct acl_levels *text, uint32_t depth)
{
#ifdef SEEDED_BUG_ACL_WILDCARD_MATCHES_SYS
    return true;
#endif
    return depth > 0 || !is_special_topic(text->level[0]);
}

static void descend(const struct match *match, uint32_t number, uint32_t depth)
{
    if (number == 0)
        return;
    const struct acl_node *node = &match->tree->nodes[number];
    bool wild = wildcards_match(match->topic, depth);
    if (wild)
        note_all(match->found, &node->below);
    if (depth == match->topic->count) {
        note_all(match->found, &node->here);
        return;
    }
    struct bytes level = match->topic->level[depth];
    if (node->first_child != 0)
        descend(match, acl_names_find(&match->tree->names, number, level), depth + 1);
    if (!wild)
        return;
    descend(match, node->plus, depth + 1);
    if (node->client != 0 && stands_for(level, match->values->client_identifier))
        descend(match, node->client, depth + 1);
    if (node->user != 0 && stands_for(level, match->values->user_name))
        descend(match, node->user, depth + 1);
}

void acl_tree_match(const struct acl_tree *tree, uint32_t root, const struct acl_values *values,
                    const struct acl_levels *topic, struct acl_rights *found)
{
    struct match match = {.tree = tree, .values = values, .topic = topic, .found = found};
    descend(&match, root, 0);
}

/* ---- What a filter could read ---- */

struct reading {
    const struct acl_tree *tree;
    const struct acl_values *values;
    const struct acl_levels *filter;
    const uint32_t *deny_roots;
    uint32_t deny_root_count;
    uint32_t line, denied_by;
    struct acl_levels common; /* of the filter and the rule, as far as we have come */
};

/* The line of a rule that denies all that `common` matches. */
static uint32_t denies_all(const struct reading *reading, uint32_t number, uint32_t depth)
{
    if (number == 0)
        return 0;
    const struct acl_node *node = &reading->tree->nodes[number];
    const struct acl_levels *common = &reading->common;
    bool wild = wildcards_match(common, depth);
    if (wild && node->below.deny != 0)
        return node->below.deny;
    if (depth == common->count)
        return node->here.deny;
    struct bytes level = common->level[depth];
    if (is(level, "#")) /* as the whole filter it is +/#: every topic has a level */
        return depth == 0 && node->plus != 0 ? reading->tree->nodes[node->plus].below.deny : 0;
    uint32_t line = wild ? denies_all(reading, node->plus, depth + 1) : 0;
    if (line != 0 || is(level, "+"))
        return line;
    line = denies_all(reading, acl_names_find(&reading->tree->names, number, level), depth + 1);
    if (line == 0 && wild && stands_for(level, reading->values->client_identifier))
        line = denies_all(reading, node->client, depth + 1);
    if (line == 0 && wild && stands_for(level, reading->values->user_name))
        line = denies_all(reading, node->user, depth + 1);
    return line;
}

/* A rule that overlaps with the filter in the first `depth` levels of `common` and what the filter
 * has from there on. */
static void offer(struct reading *reading, uint32_t line, uint32_t depth, bool with_rest)
{
    if (line == 0 || reading->line != 0)
        return;
    struct acl_levels *common = &reading->common;
    common->count = depth;
    for (uint32_t i = depth; with_rest && i < reading->filter->count; i++)
        common->level[common->count++] = reading->filter->level[i];
    uint32_t denied_by = 0;
    for (uint32_t i = 0; i < reading->deny_root_count && denied_by == 0; i++)
        denied_by = denies_all(reading, reading->deny_roots[i], 0);
    if (denied_by == 0)
        reading->line = line;
    else
        reading->denied_by = denied_by;
}

static void overlap(struct reading *reading, uint32_t number, uint32_t depth, bool all);

/* Into a child whose level, together with the filter's, is `level`. */
static void enter(struct reading *reading, uint32_t child, uint32_t depth, struct bytes level,
                  bool all)
{
    if (child == 0 || reading->line != 0)
        return;
    reading->common.level[depth] = level;
    overlap(reading, child, depth + 1, all);
}

/* Every child: the filter has + here, or, where `all`, # here or above. */
static void enter_all(struct reading *reading, const struct acl_node *node, uint32_t depth,
                      bool all)
{
    const struct acl_tree *tree = reading->tree;
    for (uint32_t child = node->first_child; child != 0; child = tree->nodes[child].next_sibling) {
        struct bytes level = acl_names_text(&tree->names, child);
        if (depth > 0 || !is_special_topic(level))
            enter(reading, child, depth, level, all);
    }
    enter(reading, node->plus, depth, bytes_of_text("+"), all);
    if (reading->values->client_identifier.size > 0)
        enter(reading, node->client, depth, reading->values->client_identifier, all);
    if (reading->values->user_name.size > 0)
        enter(reading, node->user, depth, reading->values->user_name, all);
}

static void enter_fixed(struct reading *reading, uint32_t number, uint32_t depth)
{
    const struct acl_node *node = &reading->tree->nodes[number];
    struct bytes level = reading->filter->level[depth];
    enter(reading, acl_names_find(&reading->tree->names, number, level), depth, level, false);
    if (!wildcards_match(reading->filter, depth))
        return;
    enter(reading, node->plus, depth, level, false);
    if (stands_for(level, reading->values->client_identifier))
        enter(reading, node->client, depth, level, false);
    if (stands_for(level, reading->values->user_name))
        enter(reading, node->user, depth, level, false);
}

static void overlap(struct reading *reading, uint32_t number, uint32_t depth, bool all)
{
    const struct acl_node *node = &reading->tree->nodes[number];
    const struct acl_levels *filter = reading->filter;
    bool at_end = !all && depth == filter->count;
    all = all || (!at_end && is(filter->level[depth], "#"));
    if (all) {
        struct bytes *level = &reading->common.level[depth];
        offer(reading, depth > 0 ? node->here.read : 0, depth, false);
        if (node->below.read != 0 && depth < ACL_LEVELS_MAX) {
            *level = bytes_of_text("#");
            offer(reading, node->below.read, depth + 1, false);
        }
        enter_all(reading, node, depth, true);
        return;
    }
    if (wildcards_match(filter, depth))
        offer(reading, node->below.read, depth, true);
    if (at_end)
        offer(reading, node->here.read, depth, false);
    else if (is(filter->level[depth], "+"))
        enter_all(reading, node, depth, false);
    else
        enter_fixed(reading, number, depth);
}

uint32_t acl_tree_readable(const struct acl_tree *tree, uint32_t root, const uint32_t *deny_roots,
                           uint32_t deny_root_count, const struct acl_values *values,
                           const struct acl_levels *filter, uint32_t *out_denied_by)
{
    struct reading reading;
    reading.tree = tree;
    reading.values = values;
    reading.filter = filter;
    reading.deny_roots = deny_roots;
    reading.deny_root_count = deny_root_count;
    reading.line = reading.denied_by = 0;
    reading.common.count = 0;
    overlap(&reading, root, 0, false);
    note(out_denied_by, reading.denied_by);
    return reading.line;
}
