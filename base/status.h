/* What the world can do to us: memory, disk, sockets. A peer's fault is never a status (it is a
 * protocol refusal), and our own fault is a CHECK. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define STATUS_LIST(X)                                                                             \
    X(OK, "ok")                                                                                    \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(IO, "input/output error")                                                                    \
    X(FULL, "no space left")                                                                       \
    X(LOCKED, "held by another process")                                                           \
    X(CORRUPT, "damaged")                                                                          \
    X(TOO_NEW, "written by a newer release")                                                       \
    X(INVALID, "invalid")                                                                          \
    X(NOT_FOUND, "not found")                                                                      \
    X(DENIED, "permission denied")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
        STATUS_COUNT
};

#define MUST_USE __attribute__((warn_unused_result))

/* Returns from the enclosing function with the first status that is not OK. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        enum status try_status_ = (expr);                                                          \
        if (try_status_ != STATUS_OK)                                                              \
            return try_status_;                                                                    \
    } while (0)

const char *status_text(enum status status);

#endif
