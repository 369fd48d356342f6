/* How full a session's queue is: what publishers may know of it, what the operator is told, and how
 * drop_oldest makes room (rule 22). */

#include "broker/outbound.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/limits.h"
#include "broker/session.h"

enum {
    UNSTORED_BYTES = 16 * 1024 * 1024,
    /* Nearer to a limit than this, publishers take room for each message before they promise it.
     * More than is ever on its way from other workers to one session, or nearly so: what is beyond
     * exceeds the limit, and is not dropped. */
    NEAR_MESSAGES = 16384,
    NEAR_BYTES = 4 * 1024 * 1024,
    /* Of the store a session may hold so many times what is free: docs/decisions/0007. */
    SHARE = 4,
    TRIM_BYTES = 256 * 1024,
};

/* Bytes that the session's queue may hold; 0: any number. */
static uint64_t byte_limit(const struct worker *worker, const struct session *session)
{
    uint64_t limit = worker->broker->config->mqtt.max_queued_bytes;
    if (limit == 0 && !session_is_stored(session)) /* nothing of it can leave memory (rule 24) */
        limit = UNSTORED_BYTES;
    return limit;
}

static uint64_t bytes_of_queue(const struct outbound *outbound)
{
    return outbound->queued_bytes + outbound->numbers_bytes;
}

static uint64_t left_of(uint64_t limit, uint64_t used)
{
    if (limit == 0)
        return UINT64_MAX;
    return used < limit ? limit - used : 0;
}

static bool is_greedy(const struct worker *worker, uint64_t messages, uint64_t bytes)
{
#ifdef SEEDED_BUG_GREED
    return false;
#endif
    return worker->store_scarce && ((messages + SHARE - 1) / SHARE > worker->store_free_messages ||
                                    (bytes + SHARE - 1) / SHARE > worker->store_free_bytes);
}

void outbound_explain_full(const struct worker *worker, const struct session *session, char *out,
                           size_t size)
{
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    uint64_t messages = outbound_count(&session->outbound);
    uint64_t bytes = bytes_of_queue(&session->outbound), limit = byte_limit(worker, session);
    const char *policy =
        mqtt->queue_full_policy == QUEUE_FULL_DROP_OLDEST ? ", queue_full_policy = drop_oldest"
        : mqtt->queue_full_policy == QUEUE_FULL_REJECT    ? ", queue_full_policy = reject"
                                                          : "";
    if (limit > 0 && bytes * 5 >= limit * 4 && mqtt->max_queued_bytes > 0)
        snprintf(out, size, "; %" PRIu64 " bytes wait, max_queued_bytes = %" PRIu64 "%s", bytes,
                 limit, policy);
    else if (limit > 0 && bytes * 5 >= limit * 4)
        snprintf(out, size,
                 "; %" PRIu64 " bytes wait in memory, and a session that is not stored may have "
                 "%" PRIu64 " where max_queued_bytes = 0%s",
                 bytes, limit, policy);
    else
        snprintf(out, size, "; %" PRIu64 " messages wait, max_queued_messages = %" PRIu32 "%s",
                 messages, mqtt->max_queued_messages, policy);
}

/* Whether so many percent of a limit are used. */
static bool uses(uint64_t limit, uint64_t left, unsigned percent)
{
#ifdef SEEDED_BUG_NO_EARLY_WORD
    return false;
#endif
    return limit > 0 && left * 100 <= limit * (100 - percent);
}

/* An early word, once, and again when it had become less. */
static void warn_early(struct worker *worker, struct session *session, uint64_t left,
                       uint64_t left_bytes)
{
    struct outbound *outbound = &session->outbound;
    uint64_t limit = worker->broker->config->mqtt.max_queued_messages;
    uint64_t limit_bytes = byte_limit(worker, session);
    if (!outbound->near_full && (uses(limit, left, LIMITS_WARN_PERCENT) ||
                                 uses(limit_bytes, left_bytes, LIMITS_WARN_PERCENT))) {
        outbound->near_full = true;
        counter_add(&worker->counters.queues_near_full, 1);
        char where[160];
        outbound_explain_full(worker, session, where, sizeof where);
        if (drop_may_say(worker))
            log_line(LOG_WARNING, "client \"%s\": its queue is more than %u %% full%s",
                     session_name(session), LIMITS_WARN_PERCENT, where);
    } else if (outbound->near_full && !uses(limit, left, LIMITS_CALM_PERCENT) &&
               !uses(limit_bytes, left_bytes, LIMITS_CALM_PERCENT)) {
        outbound_no_longer_near_full(worker, outbound);
    }
}

void outbound_no_longer_near_full(struct worker *worker, struct outbound *outbound)
{
    if (outbound->near_full)
        counter_add(&worker->counters.queues_near_full, UINT64_MAX);
    outbound->near_full = false;
}

/* Below this a queue is of no interest. */
static uint64_t calm_below(uint64_t limit, uint64_t near)
{
    if (limit == 0)
        return UINT64_MAX;
    uint64_t early = limit / 100 * LIMITS_CALM_PERCENT;
    uint64_t far = limit > near ? limit - near : 0;
    return early < far ? early : far;
}

void outbound_room_init(struct worker *worker)
{
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    uint64_t unstored = mqtt->max_queued_bytes > 0 ? mqtt->max_queued_bytes : UNSTORED_BYTES;
    worker->calm_messages = calm_below(mqtt->max_queued_messages, NEAR_MESSAGES);
    worker->calm_bytes[true] = calm_below(mqtt->max_queued_bytes, NEAR_BYTES);
    worker->calm_bytes[false] = calm_below(unstored, NEAR_BYTES);
}

/* Nothing to say of this queue, and nothing was said that is to be taken back. */
static bool is_calm(const struct worker *worker, const struct session *session)
{
    enum { OF_INTEREST = SESSION_FACT_NEAR | SESSION_FACT_FULL | SESSION_FACT_GREEDY };
    const struct outbound *outbound = &session->outbound;
    uint8_t facts = session_facts(session);
    return (facts & OF_INTEREST) == 0 && !outbound->near_full && !worker->store_scarce &&
           outbound_count(outbound) < worker->calm_messages &&
           bytes_of_queue(outbound) < worker->calm_bytes[(facts & SESSION_FACT_STORED) != 0];
}

void outbound_update_room(struct worker *worker, struct session *session)
{
    if (is_calm(worker, session))
        return;
    const struct outbound *outbound = &session->outbound;
    uint64_t messages = outbound_count(outbound), bytes = bytes_of_queue(outbound);
    uint64_t left = left_of(worker->broker->config->mqtt.max_queued_messages, messages);
    uint64_t left_bytes = left_of(byte_limit(worker, session), bytes);
    uint8_t before = session_facts(session), facts = before;
    facts &= (uint8_t) ~(SESSION_FACT_NEAR | SESSION_FACT_FULL | SESSION_FACT_GREEDY);
    if (left <= NEAR_MESSAGES || left_bytes <= NEAR_BYTES) {
        room_set_left(&session->room, left, left_bytes);
        facts |= SESSION_FACT_NEAR;
        if (left == 0 || left_bytes == 0)
            facts |= SESSION_FACT_FULL;
    }
    if (is_greedy(worker, messages, bytes))
        facts |= SESSION_FACT_GREEDY;
    if (facts != before)
        session_set_facts(session, facts);
    warn_early(worker, session, left, left_bytes);
}

/* ---- drop_oldest ---- */

static bool exceeds(const struct worker *worker, const struct session *session)
{
    uint64_t limit = byte_limit(worker, session);
    uint32_t messages = worker->broker->config->mqtt.max_queued_messages;
    return (messages > 0 && outbound_count(&session->outbound) > messages) ||
           (limit > 0 && bytes_of_queue(&session->outbound) > limit);
}

/* Its number is known, its size only on average. */
static void drop_number(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    uint64_t number;
    number_queue_peek(&outbound->numbers, &number, 1);
    outbound->numbers_bytes -= outbound->numbers_bytes / outbound->numbers.count;
    number_queue_skip(&outbound->numbers, 1);
    store_batch_settled(worker_batch(worker), session->incarnation, number);
    drop_one(worker, session, DROP_QUEUE_FULL);
}

/* What is queued of an earlier run has to be read before it can be named. */
static bool ask_for_oldest(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    uint64_t until = worker->broker->first_number - 1;
    if (outbound->stored_count == 0 || outbound->stored_after >= until)
        return false;
    struct store_read *read = calloc(1, sizeof *read);
    if (read == NULL)
        return true; /* asked for again with the next message */
    uint64_t count = outbound_count(outbound);
    uint64_t most = worker->broker->config->mqtt.max_queued_messages;
    *read = (struct store_read){
        .worker = worker->index,
        .incarnation = session->incarnation,
        .after = outbound->stored_after,
        .until = until,
        .limit = most > 0 && count > most && count - most < OUTBOUND_PAGE_MESSAGES
                     ? (uint32_t)(count - most)
                     : OUTBOUND_PAGE_MESSAGES,
        .limit_bytes = TRIM_BYTES,
        .context = session,
    };
    outbound->reading = outbound->trimming = true;
    store_read_submit(worker->broker->store, read);
    return true;
}

void outbound_trim(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    while (exceeds(worker, session) && !outbound->reading) {
        if (outbound->paged.count > 0)
            outbound_drop_head(worker, session, &outbound->paged, DROP_QUEUE_FULL);
        else if (ask_for_oldest(worker, session))
            break;
        else if (outbound->numbers.count > 0)
            drop_number(worker, session);
        else if (outbound->queue.count > 1) /* the newest stays, whatever its size */
            outbound_drop_head(worker, session, &outbound->queue, DROP_QUEUE_FULL);
        else
            break; /* the others have identifiers (rule 15) */
    }
    outbound_update_room(worker, session);
}

void outbound_trimmed(struct worker *worker, struct session *session, const struct store_read *read)
{
    struct outbound *outbound = &session->outbound;
    outbound->trimming = false;
    for (uint32_t i = 0; i < read->row_count && exceeds(worker, session); i++) {
        uint64_t number = read->rows[i].message.number;
        store_batch_settled(worker_batch(worker), session->incarnation, number);
        outbound->stored_after = number;
        outbound->stored_count--;
        drop_one(worker, session, DROP_QUEUE_FULL);
    }
    if (read->row_count == 0) /* what is left of that run is in flight */
        outbound->stored_after = worker->broker->first_number - 1;
    outbound_trim(worker, session);
}
