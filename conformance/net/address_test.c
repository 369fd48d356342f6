/* Names are resolved, or not, within the time that there is for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

#include "conformance/net/address.h"
#include "conformance/net/transport.h"

enum { PATIENCE_MS = 20000, SHORT_MS = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool mute, mute_ended;

/* A resolver of this program's own in the place of libc's: it knows one name, and can be mute. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    pthread_mutex_lock(&lock);
    bool waited = mute;
    while (mute)
        pthread_cond_wait(&changed, &lock);
    mute_ended = waited;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (strcmp(host, "known.example") != 0)
        return EAI_NONAME;
    *out = calloc(1, sizeof **out);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void known_name_has_addresses(void **state)
{
    char error[200] = "";
    struct addrinfo *list = address_resolve(
        "known.example", "1883", transport_clock_ms() + PATIENCE_MS, error, sizeof error);
    assert_non_null(list);
    assert_string_equal(error, "");
    address_free(list);
}

static void unknown_name_is_said(void **state)
{
    char error[200] = "";
    assert_null(address_resolve("unknown.example", "1883", transport_clock_ms() + PATIENCE_MS,
                                error, sizeof error));
    assert_non_null(strstr(error, "unknown.example port 1883: "));
}

static void mute_resolver_is_not_waited_for(void **state)
{
    char error[200] = "";
    mute = true;
    uint64_t start_ms = transport_clock_ms();
    assert_null(address_resolve("known.example", "1883", start_ms + SHORT_MS, error, sizeof error));
    assert_true(transport_clock_ms() >= start_ms + SHORT_MS);
    assert_non_null(strstr(error, "not resolved in time"));
    pthread_mutex_lock(&lock);
    mute = false;
    pthread_cond_broadcast(&changed);
    while (!mute_ended)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

int main(void)
{
    alarm(60); /* whoever waits for a mute resolver after all */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_name_has_addresses),
        cmocka_unit_test(unknown_name_is_said),
        cmocka_unit_test(mute_resolver_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
