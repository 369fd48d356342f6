#include "conformance/runner/statement.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define STATEMENT(id, section, kind, paraphrase, reason) {id, section, kind, paraphrase, reason},

static const struct statement rows_5[] = {
#include "conformance/statements_v5.def"
};

static const struct statement rows_311[] = {
#include "conformance/statements_v311.def"
};

static const struct {
    const char *name, *sentence;
} faults[] = {
#define FAULT(name, sentence) {#name, sentence},
#include "conformance/fault/fault.def"
};

static const struct {
    const char *number, *title_5, *title_311;
} chapters[] = {
    {"1.5", "Data representation", "Data representation"},
    {"2.1", "Fixed header", "Fixed header"},
    {"2.2", "Packet Identifier, properties", "Fixed header"},
    {"2.3", "Packet Identifier", "Packet Identifier"},
    {"3.1", "CONNECT", "CONNECT"},
    {"3.2", "CONNACK", "CONNACK"},
    {"3.3", "PUBLISH", "PUBLISH"},
    {"3.4", "PUBACK", "PUBACK"},
    {"3.5", "PUBREC", "PUBREC"},
    {"3.6", "PUBREL", "PUBREL"},
    {"3.7", "PUBCOMP", "PUBCOMP"},
    {"3.8", "SUBSCRIBE", "SUBSCRIBE"},
    {"3.9", "SUBACK", "SUBACK"},
    {"3.10", "UNSUBSCRIBE", "UNSUBSCRIBE"},
    {"3.11", "UNSUBACK", "UNSUBACK"},
    {"3.12", "PINGREQ", "PINGREQ"},
    {"3.13", "PINGRESP", "PINGRESP"},
    {"3.14", "DISCONNECT", "DISCONNECT"},
    {"3.15", "AUTH", "AUTH"},
    {"4.1", "Session state", "Session state"},
    {"4.2", "Network Connections", "Network Connections"},
    {"4.3", "Quality of Service", "Quality of Service"},
    {"4.4", "Delivery retry", "Delivery retry"},
    {"4.5", "Message receipt", "Message receipt"},
    {"4.6", "Message ordering", "Message ordering"},
    {"4.7", "Topics", "Topics"},
    {"4.8", "Shared Subscriptions", "Handling errors"},
    {"4.9", "Flow control", "Flow control"},
    {"4.12", "Enhanced authentication", "Enhanced authentication"},
    {"4.13", "Handling errors", "Handling errors"},
    {"6", "WebSocket", "WebSocket"},
    {"7", "Conformance", "Conformance"},
};

struct statement_table statement_table(enum version version)
{
    if (version == VERSION_5)
        return (struct statement_table){version, rows_5, COUNT(rows_5)};
    return (struct statement_table){version, rows_311, COUNT(rows_311)};
}

const struct statement *statement_find(struct statement_table table, const char *id, size_t size)
{
    for (unsigned i = 0; i < table.count; i++) {
        if (strlen(table.rows[i].id) == size && memcmp(table.rows[i].id, id, size) == 0)
            return &table.rows[i];
    }
    return NULL;
}

char *statement_chapter(const char *id, char chapter[CHAPTER_SIZE])
{
    const char *number = strncmp(id, "MQTT-", 5) == 0 ? id + 5 : id;
    size_t first = strcspn(number, ".-");
    size_t size = first;
    /* From 6 on a chapter is one subject; those before are told apart by their sections. */
    if (number[first] == '.' && number[0] < '6')
        size += 1 + strcspn(number + first + 1, ".-");
    snprintf(chapter, CHAPTER_SIZE, "%.*s", (int)size, number);
    return chapter;
}

const char *statement_chapter_title(enum version version, const char *chapter)
{
    for (unsigned i = 0; i < COUNT(chapters); i++) {
        if (strcmp(chapters[i].number, chapter) == 0)
            return version == VERSION_5 ? chapters[i].title_5 : chapters[i].title_311;
    }
    return "";
}

const char *statement_word(const char **at, size_t *size)
{
    if (!*at)
        return NULL;
    const char *word = *at + strspn(*at, " ");
    *size = strcspn(word, " ");
    *at = word + *size;
    return *size ? word : NULL;
}

const char *statement_fault(const char *name, size_t size)
{
    for (unsigned i = 0; i < COUNT(faults); i++) {
        if (strlen(faults[i].name) == size && memcmp(faults[i].name, name, size) == 0)
            return faults[i].sentence;
    }
    return NULL;
}
