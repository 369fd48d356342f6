#include "conformance/model/history.h"

#include "conformance/model/reference.h"

const char *const history_names[MODEL_CLIENTS] = {"alice", "bob", "carol"};

/* splitmix64: the same histories on every machine. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned below(uint64_t *state, unsigned limit)
{
    return (unsigned)(draw(state) % limit);
}

static bool one_in(uint64_t *state, unsigned n)
{
    return below(state, n) == 0;
}

static const unsigned weights[STEP_KIND_COUNT] = {
    [STEP_CONNECT] = 10,    [STEP_DISCONNECT] = 3, [STEP_DROP] = 4,     [STEP_SUBSCRIBE] = 8,
    [STEP_UNSUBSCRIBE] = 2, [STEP_PUBLISH] = 24,   [STEP_WITHHOLD] = 3, [STEP_RELEASE] = 4,
    [STEP_RESUME] = 2,      [STEP_FENCE] = 2,
};

static enum step_kind draw_kind(uint64_t *state)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < STEP_KIND_COUNT; i++)
        sum += weights[i];
    unsigned at = below(state, sum);
    unsigned kind = 0;
    while (at >= weights[kind])
        at -= weights[kind++];
    return (enum step_kind)kind;
}

static uint8_t draw_options(uint64_t *state, enum version version)
{
    uint8_t options = (uint8_t)(below(state, 8) < 2 ? below(state, 3) : 1 + below(state, 2));
    if (version != VERSION_5)
        return options;
    if (one_in(state, 6))
        options |= SUBSCRIBE_NO_LOCAL;
    if (one_in(state, 3))
        options |= SUBSCRIBE_RETAIN_AS_PUBLISHED;
    return options | SUBSCRIBE_RETAIN_HANDLING(one_in(state, 3) ? below(state, 3) : 0);
}

static struct step draw_step(uint64_t *state, enum version version)
{
    struct step step = {.kind = draw_kind(state), .client = (uint8_t)below(state, MODEL_CLIENTS)};
    switch (step.kind) {
    case STEP_CONNECT:
        step.clean_start = one_in(state, 8);
        step.stored = !one_in(state, 6);
        if (version == VERSION_5 && one_in(state, 2))
            step.count = (uint8_t)(1 + below(state, 4));
        if (version == VERSION_311) /* one flag says both */
            step.clean_start = !step.stored;
        break;
    case STEP_SUBSCRIBE:
        step.place = (uint8_t)below(state, MODEL_FILTERS);
        step.options = draw_options(state, version);
        break;
    case STEP_UNSUBSCRIBE:
        step.place = (uint8_t)below(state, MODEL_FILTERS);
        break;
    case STEP_PUBLISH:
        step.place = (uint8_t)below(state, MODEL_TOPICS);
        step.options = (uint8_t)(one_in(state, 6) ? 0 : 1 + below(state, 2));
        if (step.options > 0 && one_in(state, 6))
            step.cut = step.options == 1 ? CUT_AFTER_PUBLISH : (enum cut)(1 + below(state, 3));
        /* What a retained message is while its publication is in doubt is nobody's to say. */
        step.retain = step.cut == CUT_NONE && step.options > 0 && one_in(state, 5);
        break;
    case STEP_RELEASE:
        step.count = (uint8_t)(1 + below(state, 3));
        break;
    default:
        break;
    }
    return step;
}

void history_make(struct history *history, enum version version, uint64_t seed, bool with_outage)
{
    *history = (struct history){.version = version, .seed = seed, .with_outage = with_outage};
    uint64_t state = seed ^ (uint64_t)version << 56;
    /* Everybody is there, and somebody listens: else most of a short history is nothing. */
    for (unsigned client = 0; client < MODEL_CLIENTS; client++) {
        struct step step = {.kind = STEP_CONNECT, .client = (uint8_t)client, .stored = true};
        history->steps[history->count++] = step;
    }
    history->steps[history->count++] = (struct step){
        .kind = STEP_SUBSCRIBE,
        .client = (uint8_t)below(&state, MODEL_CLIENTS),
        .place = (uint8_t)below(&state, MODEL_FILTERS),
        .options = draw_options(&state, version),
    };
    unsigned count = 15 + below(&state, HISTORY_STEPS - 20);
    unsigned outage_at = with_outage ? history->count + below(&state, count) : HISTORY_STEPS;
    while (history->count < 4 + count) {
        if (history->count == outage_at)
            history->steps[history->count++] = (struct step){.kind = STEP_OUTAGE};
        else
            history->steps[history->count++] = draw_step(&state, version);
    }
}

/* ---- In words ---- */

static const char *cut_text(enum cut cut)
{
    switch (cut) {
    case CUT_AFTER_PUBLISH:
        return ", and its connection breaks behind PUBLISH";
    case CUT_AFTER_PUBREC:
        return ", and its connection breaks when PUBREC has come";
    case CUT_AFTER_PUBREL:
        return ", and its connection breaks behind PUBREL";
    case CUT_NONE:
        break;
    }
    return "";
}

static char *describe_connect(const struct step *step, const char *who, char *line, size_t size)
{
    char quota[40] = "";
    if (step->count > 0)
        snprintf(quota, sizeof quota, ", Receive Maximum %u", step->count);
    snprintf(line, size, "%s connects: Clean Start %u, session %s%s", who, step->clean_start,
             step->stored ? "stored" : "not stored", quota);
    return line;
}

static char *describe_subscribe(const struct step *step, const char *who, char *line, size_t size)
{
    snprintf(line, size, "%s subscribes to \"%s\" at QoS %u%s%s, Retain Handling %u", who,
             model_filters[step->place], step->options & 3,
             step->options & SUBSCRIBE_NO_LOCAL ? ", No Local" : "",
             step->options & SUBSCRIBE_RETAIN_AS_PUBLISHED ? ", Retain As Published" : "",
             step->options >> 4);
    return line;
}

static const char *simple_text(enum step_kind kind)
{
    switch (kind) {
    case STEP_DISCONNECT:
        return "sends DISCONNECT";
    case STEP_DROP:
        return "loses its connection";
    case STEP_WITHHOLD:
        return "withholds its acknowledgements from now on";
    case STEP_RESUME:
        return "sends all acknowledgements, and further ones at once";
    case STEP_FENCE:
        return "waits for PINGRESP";
    default:
        return "";
    }
}

char *step_describe(const struct step *step, char *line, size_t size)
{
    const char *who = history_names[step->client];
    switch (step->kind) {
    case STEP_CONNECT:
        return describe_connect(step, who, line, size);
    case STEP_SUBSCRIBE:
        return describe_subscribe(step, who, line, size);
    case STEP_UNSUBSCRIBE:
        snprintf(line, size, "%s unsubscribes from \"%s\"", who, model_filters[step->place]);
        return line;
    case STEP_PUBLISH:
        snprintf(line, size, "%s publishes to \"%s\" at QoS %u%s%s", who, model_topics[step->place],
                 step->options, step->retain ? ", retained" : "", cut_text(step->cut));
        return line;
    case STEP_RELEASE:
        snprintf(line, size, "%s sends %u of the acknowledgements that it withholds", who,
                 step->count);
        return line;
    default:
        break;
    }
    if (step->kind == STEP_OUTAGE)
        snprintf(line, size, "the server ends and starts again");
    else
        snprintf(line, size, "%s %s", who, simple_text(step->kind));
    return line;
}

void history_print(const struct history *history, FILE *file)
{
    char line[200];
    for (unsigned i = 0; i < history->count; i++)
        fprintf(file, "  %2u. %s\n", i + 1, step_describe(&history->steps[i], line, sizeof line));
}

/* ---- Smaller ---- */

void history_without(const struct history *history, unsigned first, unsigned count,
                     struct history *out)
{
    struct history less = *history;
    less.count = 0;
    for (unsigned i = 0; i < history->count; i++) {
        if (i < first || i >= first + count)
            less.steps[less.count++] = history->steps[i];
    }
    *out = less;
}

void history_shrink(struct history *history, unsigned attempts,
                    bool (*fails)(void *context, const struct history *history), void *context)
{
    for (unsigned chunk = history->count / 2; chunk > 0; chunk /= 2) {
        bool smaller = true;
        while (smaller) {
            smaller = false;
            for (unsigned first = history->count; first > 0 && attempts > 0;) {
                first = first > chunk ? first - chunk : 0;
                struct history less;
                history_without(history, first, chunk, &less);
                attempts--;
                if (less.count < history->count && fails(context, &less)) {
                    *history = less;
                    smaller = true;
                }
            }
            smaller = smaller && chunk == 1 && attempts > 0;
        }
    }
}
