/* From the lines of a file to the tree. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authorization/acl_list.h"
#include "base/log.h"
#include "protocol/topic.h"

enum { SHOWN_SIZE = 80, NAME_MAX_SIZE = 65535 };

struct compile {
    struct acl *acl;
    const char *path;
    char *error;
    size_t error_size;
    uint32_t line;
    uint32_t section; /* that the lines belong to */
    bool in_group;
    uint32_t block, pattern_block; /* for the next rule; 0: still to be made */
    uint32_t first_condition, condition_count;
    bool has_rule; /* behind the conditions: the next one begins anew */
};

__attribute__((format(printf, 2, 3))) static enum status refuse(const struct compile *compile,
                                                                const char *format, ...)
{
    int used =
        snprintf(compile->error, compile->error_size, "%s:%u: ", compile->path, compile->line);
    if (used < 0 || (size_t)used >= compile->error_size)
        return STATUS_INVALID;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(compile->error + used, compile->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

/* ---- Words ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes trim(struct bytes text)
{
    while (text.size > 0 && is_space(text.data[0]))
        text = bytes_of(text.data + 1, text.size - 1);
    while (text.size > 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Cuts the first word off; what is left is trimmed. */
static struct bytes next_word(struct bytes *rest)
{
    size_t size = 0;
    while (size < rest->size && !is_space(rest->data[size]))
        size++;
    struct bytes word = bytes_of(rest->data, size);
    *rest = trim(bytes_of(rest->data + size, rest->size - size));
    return word;
}

static bool is(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of_text(text));
}

static bool contains(struct bytes text, const char *part)
{
    return text.size > 0 && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

/* ---- Arrays whose [0] is unused ---- */

/* Room for one more behind `count`, which may be 0 and then becomes 1. Grows by doubling. */
static enum status grow(void *array_pointer, uint32_t *count, size_t size)
{
    void *array;
    memcpy(&array, array_pointer, sizeof array);
    uint32_t used = *count > 0 ? *count : 1;
    if (array == NULL || (used & (used - 1)) == 0) {
        array = realloc(array, 2 * (size_t)used * size);
        if (array == NULL)
            return STATUS_NO_MEMORY;
        memcpy(array_pointer, &array, sizeof array);
    }
    *count = used + 1;
    return STATUS_OK;
}

static enum status find_section(struct acl *acl, enum acl_section_kind kind, struct bytes name,
                                uint32_t *out)
{
    TRY(acl_names_add(&acl->section_names, kind, name, out));
    if (*out < acl->section_capacity)
        return STATUS_OK;
    uint32_t capacity = acl->section_names.capacity;
    struct acl_section *sections = realloc(acl->sections, capacity * sizeof *sections);
    if (sections == NULL)
        return STATUS_NO_MEMORY;
    memset(sections + acl->section_capacity, 0,
           (capacity - acl->section_capacity) * sizeof *sections);
    acl->sections = sections;
    acl->section_capacity = capacity;
    return STATUS_OK;
}

/* ---- Sections and conditions ---- */

static void enter(struct compile *compile, uint32_t section, bool is_group)
{
    compile->section = section;
    compile->in_group = is_group;
    compile->block = compile->pattern_block = 0;
    compile->condition_count = 0;
    compile->has_rule = false;
}

static enum status check_name(struct compile *compile, const char *what, struct bytes name)
{
    size_t offset;
    if (name.size == 0)
        return refuse(compile, "'%s' without a name", what);
    if (name.size > NAME_MAX_SIZE || !utf8_validate(name, &offset))
        return refuse(compile, "'%s': the name is not UTF-8 of at most %d bytes", what,
                      NAME_MAX_SIZE);
    return STATUS_OK;
}

static enum status on_section(struct compile *compile, enum acl_section_kind kind,
                              struct bytes name)
{
    uint32_t section;
    TRY(check_name(compile, kind == ACL_SECTION_GROUP ? "group" : "user", name));
    TRY(find_section(compile->acl, kind, name, &section));
    enter(compile, section, kind == ACL_SECTION_GROUP);
    return STATUS_OK;
}

static enum status on_member(struct compile *compile, struct bytes name)
{
    struct acl *acl = compile->acl;
    uint32_t user;
    if (!compile->in_group)
        return refuse(compile, "'member' stands below a 'group' line");
    TRY(check_name(compile, "member", name));
    TRY(find_section(acl, ACL_SECTION_USER, name, &user));
    for (uint32_t i = acl->sections[user].first_group; i != 0; i = acl->memberships[i].next) {
        if (acl->memberships[i].group == compile->section)
            return STATUS_OK;
    }
    TRY(grow(&acl->memberships, &acl->membership_count, sizeof *acl->memberships));
    uint32_t number = acl->membership_count - 1;
    acl->memberships[number] =
        (struct acl_membership){.next = acl->sections[user].first_group, .group = compile->section};
    acl->sections[user].first_group = number;
    return STATUS_OK;
}

static enum status on_when(struct compile *compile, struct bytes rest)
{
    struct acl *acl = compile->acl;
    struct bytes what = next_word(&rest);
    if (is(what, "always") && rest.size == 0) {
        enter(compile, compile->section, compile->in_group);
        return STATUS_OK;
    }
    struct acl_condition condition = {
        .line = compile->line, .size = (uint32_t)rest.size, .offset = acl->texts.size};
    if (is(what, "listener") && rest.size > 0)
        condition.kind = ACL_CONDITION_LISTENER;
    else if (is(what, "certificate") && rest.size > 0 && rest.data[0] != '=' && contains(rest, "="))
        condition.kind = ACL_CONDITION_CERTIFICATE;
    else
        return refuse(compile, "'when' goes on as in 'when listener NAME', "
                               "'when certificate OU=sensors' or 'when always'");
    if (compile->has_rule)
        enter(compile, compile->section, compile->in_group);
    TRY(grow(&acl->conditions, &acl->condition_count, sizeof *acl->conditions));
    uint32_t number = acl->condition_count - 1;
    if (compile->condition_count++ == 0)
        compile->first_condition = number;
    acl->conditions[number] = condition;
    compile->block = compile->pattern_block = 0;
    return buffer_append(&acl->texts, rest.data, rest.size);
}

/* ---- Rules ---- */

/* The section's block under the conditions that hold here. */
static enum status find_block(struct compile *compile, uint32_t section, uint32_t *out)
{
    struct acl *acl = compile->acl;
    if (compile->condition_count == 0) {
        for (*out = acl->sections[section].first_block; *out != 0; *out = acl->blocks[*out].next) {
            if (acl->blocks[*out].condition_count == 0)
                return STATUS_OK;
        }
    }
    uint32_t root;
    TRY(acl_tree_new_root(&acl->tree, &root));
    TRY(grow(&acl->blocks, &acl->block_count, sizeof *acl->blocks));
    *out = acl->block_count - 1;
    acl->blocks[*out] = (struct acl_block){.next = acl->sections[section].first_block,
                                           .root = root,
                                           .first_condition = compile->first_condition,
                                           .condition_count = compile->condition_count};
    acl->sections[section].first_block = *out;
    return STATUS_OK;
}

static uint8_t grants_of(struct bytes word)
{
    return is(word, "read")        ? ACL_GRANT_READ
           : is(word, "write")     ? ACL_GRANT_WRITE
           : is(word, "readwrite") ? ACL_GRANT_READ | ACL_GRANT_WRITE
           : is(word, "deny")      ? ACL_GRANT_DENY
                                   : 0;
}

/* [read|write|readwrite|deny] FILTER */
static enum status parse_rule(const struct compile *compile, struct bytes rest, uint8_t *out_grants,
                              struct bytes *out_filter)
{
    char shown[SHOWN_SIZE];
    *out_filter = rest;
    struct bytes word = next_word(&rest);
    *out_grants = grants_of(word);
    if (word.size == 0 || (*out_grants != 0 && rest.size == 0))
        return refuse(compile, "the Topic Filter is missing");
    if (*out_grants != 0)
        *out_filter = rest;
    else if (rest.size > 0)
        return refuse(
            compile,
            "'%s' is none of read, write, readwrite and deny (a filter with a space in it "
            "needs one of them before it)",
            log_text(word.data, word.size, shown, sizeof shown));
    else
        *out_grants = ACL_GRANT_READ | ACL_GRANT_WRITE;
    return STATUS_OK;
}

static enum status check_filter(const struct compile *compile, struct bytes filter,
                                struct acl_levels *out)
{
    char shown[SHOWN_SIZE];
    size_t offset;
    log_text(filter.data, filter.size, shown, sizeof shown);
    if (filter.size > NAME_MAX_SIZE || !utf8_validate(filter, &offset) ||
        topic_filter_parse(filter, false, &offset).kind != TOPIC_FILTER_PLAIN)
        return refuse(compile, "'%s' is not a valid Topic Filter", shown);
    if (!acl_tree_cut(filter, out))
        return refuse(compile, "'%s' has more than %d levels, and so matches no topic", shown,
                      ACL_LEVELS_MAX);
    return STATUS_OK;
}

static enum status check_pattern(const struct compile *compile, const struct acl_levels *filter)
{
    struct acl *acl = compile->acl;
    for (uint32_t i = 0; i < filter->count; i++) {
        struct bytes level = filter->level[i];
        if (is(level, "%c"))
            acl->uses_client_identifier = true;
        else if (is(level, "%u"))
            acl->uses_user_name = true;
        else if (contains(level, "%c") || contains(level, "%u"))
            return refuse(compile, "%%c and %%u must be the only text of their topic level");
    }
    return STATUS_OK;
}

static enum status on_rule(struct compile *compile, struct bytes rest, bool is_pattern)
{
    struct acl *acl = compile->acl;
    struct acl_levels levels;
    struct bytes filter;
    uint8_t grants;
    TRY(parse_rule(compile, rest, &grants, &filter));
    TRY(check_filter(compile, filter, &levels));
    uint32_t *block = is_pattern ? &compile->pattern_block : &compile->block;
    uint32_t section = compile->section;
    if (is_pattern) {
        TRY(check_pattern(compile, &levels));
        TRY(find_section(acl, ACL_SECTION_PATTERNS, bytes_of(NULL, 0), &section));
    }
    if (*block == 0)
        TRY(find_block(compile, section, block));
    compile->has_rule = true;
    acl->rule_count++;
    return acl_tree_add(&acl->tree, acl->blocks[*block].root, &levels, is_pattern, grants,
                        compile->line);
}

/* ---- Lines ---- */

static enum status on_line(struct compile *compile, struct bytes line)
{
    char shown[SHOWN_SIZE];
    if (memchr(line.data, '\0', line.size) != NULL)
        return refuse(compile, "there is a NUL byte: is this a text file?");
    struct bytes rest = trim(line);
    if (rest.size == 0 || rest.data[0] == '#')
        return STATUS_OK;
    struct bytes word = next_word(&rest);
    if (is(word, "topic"))
        return on_rule(compile, rest, false);
    if (is(word, "pattern"))
        return on_rule(compile, rest, true);
    if (is(word, "user"))
        return on_section(compile, ACL_SECTION_USER, rest);
    if (is(word, "group"))
        return on_section(compile, ACL_SECTION_GROUP, rest);
    if (is(word, "member"))
        return on_member(compile, rest);
    if (is(word, "when"))
        return on_when(compile, rest);
    return refuse(compile, "'%s' is none of user, group, member, when, topic and pattern",
                  log_text(word.data, word.size, shown, sizeof shown));
}

static enum status run(struct compile *compile, struct bytes text)
{
    TRY(find_section(compile->acl, ACL_SECTION_ANONYMOUS, bytes_of(NULL, 0), &compile->section));
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end != NULL ? (size_t)(end - text.data) : text.size;
        compile->line++;
        TRY(on_line(compile, bytes_of(text.data, size)));
        size += end != NULL;
        text = bytes_of(text.data + size, text.size - size);
    }
    return STATUS_OK;
}

enum status acl_compile(const char *path, struct bytes text, struct acl *acl, char *error,
                        size_t error_size)
{
    static const uint8_t byte_order_mark[] = {0xef, 0xbb, 0xbf};
    struct compile compile = {.acl = acl, .path = path, .error = error, .error_size = error_size};
    if (text.size >= 3 && memcmp(text.data, byte_order_mark, 3) == 0)
        text = bytes_of(text.data + 3, text.size - 3);
    enum status status = run(&compile, text);
    if (status != STATUS_OK && status != STATUS_INVALID)
        snprintf(error, error_size, "%s:%u: %s", path, compile.line, status_text(status));
    return status;
}
