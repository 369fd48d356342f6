#include "tls/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LIFETIME_S = 100, NOW_S = 1000, SECRET_SIZE = 76, CAPACITY = 460 };

struct ticket {
    uint8_t name[TICKET_KEY_NAME_SIZE];
    uint8_t iv[TICKET_IV_SIZE];
    uint8_t tag[TICKET_TAG_SIZE];
    uint8_t data[CAPACITY];
    size_t size;
};

static struct ticket_seal seal_of(struct ticket *ticket)
{
    return (struct ticket_seal){.name = ticket->name, .iv = ticket->iv, .tag = ticket->tag};
}

static struct ticket_keys *new_keys(void)
{
    struct ticket_keys *keys;
    assert_int_equal(ticket_keys_new(LIFETIME_S, NOW_S, &keys), STATUS_OK);
    return keys;
}

static struct ticket_claim new_claim(size_t name_size, size_t links)
{
    struct ticket_claim claim = {.proven_s = NOW_S};
    struct bytes names[IDENTITY_NAMES] = {0};
    char *name = malloc(name_size);
    memset(name, 'n', name_size);
    names[IDENTITY_SUBJECT] = bytes_of(name, name_size);
    names[IDENTITY_URI] = bytes_of_text("spiffe://acme/7");
    assert_int_equal(identity_from_names(names, &claim.identity), STATUS_OK);
    free(name);
    if (links > 0) {
        claim.peer = calloc(1, sizeof *claim.peer + links * sizeof claim.peer->links[0]);
        claim.peer->count = links;
        claim.peer->not_after_s = INT64_C(0x123456789a);
        memset(claim.peer->anchor.bytes, 1, CERTIFICATE_ID_SIZE);
        memset(claim.peer->links, 2, links * sizeof claim.peer->links[0]);
    }
    return claim;
}

static struct ticket sealed(struct ticket_keys *keys, int64_t now_s,
                            const struct ticket_claim *claim)
{
    struct ticket ticket;
    struct ticket_seal seal = seal_of(&ticket);
    memset(ticket.data, 's', SECRET_SIZE);
    ticket.size = ticket_seal(keys, now_s, claim, &seal, ticket.data, SECRET_SIZE, CAPACITY);
    assert_in_range(ticket.size, SECRET_SIZE + 1, CAPACITY);
    return ticket;
}

/* Its own copy, because it is opened in place. */
static size_t opened(struct ticket_keys *keys, int64_t now_s, struct ticket ticket,
                     struct ticket_claim *out)
{
    struct ticket_seal seal = seal_of(&ticket);
    uint8_t *data = malloc(ticket.size + 1); /* of its own, so that a read behind it is found */
    memcpy(data, ticket.data, ticket.size);
    size_t size = ticket_open(keys, now_s, &seal, data, ticket.size, out);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], 's');
    free(data);
    return size;
}

static bool opens(struct ticket_keys *keys, int64_t now_s, struct ticket ticket)
{
    struct ticket_claim claim;
    bool does = opened(keys, now_s, ticket, &claim) > 0;
    ticket_claim_fini(&claim);
    return does;
}

static void what_is_sealed_is_opened(void **state)
{
    struct ticket_keys *keys = new_keys();
    for (size_t links = 0; links < 3; links++) {
        struct ticket_claim claim = new_claim(40, links), back;
        struct ticket ticket = sealed(keys, NOW_S, &claim);
        assert_null(memmem(ticket.data, ticket.size, "ssss", 4));
        assert_null(memmem(ticket.data, ticket.size, "nnnn", 4));
        assert_int_equal(opened(keys, NOW_S, ticket, &back), SECRET_SIZE);
        assert_int_equal(back.proven_s, NOW_S);
        for (unsigned i = 0; i < IDENTITY_NAMES; i++)
            assert_true(
                bytes_equal(identity_name(&claim.identity, i), identity_name(&back.identity, i)));
        assert_int_equal(back.peer != NULL, links > 0);
        if (links > 0)
            assert_memory_equal(back.peer, claim.peer,
                                sizeof *claim.peer + links * sizeof claim.peer->links[0]);
        ticket_claim_fini(&claim);
        ticket_claim_fini(&back);
    }
    ticket_keys_free(keys);
}

static void no_changed_or_missing_byte_is_overlooked(void **state)
{
    struct ticket_keys *keys = new_keys();
    struct ticket_claim claim = new_claim(10, 1);
    struct ticket ticket = sealed(keys, NOW_S, &claim);
    assert_true(opens(keys, NOW_S, ticket));
    uint8_t *bytes = (uint8_t *)&ticket;
    for (size_t i = 0; i < offsetof(struct ticket, data) + ticket.size; i++) {
        bytes[i] ^= 1;
        assert_false(opens(keys, NOW_S, ticket));
        bytes[i] ^= 1;
    }
    for (size_t full = ticket.size; ticket.size > 0;) {
        ticket.size--;
        assert_false(opens(keys, NOW_S, ticket));
        assert_true(ticket.size < full);
    }
    ticket_claim_fini(&claim);
    ticket_keys_free(keys);
}

/* It stands for "no certificate" otherwise, and that would let somebody in as nobody. */
static void a_claim_without_room_opens_for_nobody(void **state)
{
    struct ticket_keys *keys = new_keys();
    for (size_t name_size = 330; name_size < 380; name_size++) {
        struct ticket_claim claim = new_claim(name_size, 0), back;
        struct ticket ticket = sealed(keys, NOW_S, &claim);
        if (opened(keys, NOW_S, ticket, &back) > 0)
            assert_int_equal(identity_name(&back.identity, IDENTITY_SUBJECT).size, name_size);
        else
            assert_true(name_size > 340);
        ticket_claim_fini(&claim);
        ticket_claim_fini(&back);
    }
    ticket_keys_free(keys);
}

static void keys_turn_and_are_forgotten(void **state)
{
    struct ticket_keys *keys = new_keys();
    struct ticket_claim claim = new_claim(10, 0);
    struct ticket first = sealed(keys, NOW_S, &claim);
    struct ticket same = sealed(keys, NOW_S + LIFETIME_S - 1, &claim);
    assert_memory_equal(first.name, same.name, sizeof first.name);
    assert_memory_not_equal(first.iv, same.iv, sizeof first.iv);
    struct ticket second = sealed(keys, NOW_S + LIFETIME_S, &claim);
    assert_memory_not_equal(first.name, second.name, sizeof first.name);
    assert_true(opens(keys, NOW_S + 2 * LIFETIME_S - 1, first));
    assert_false(opens(keys, NOW_S + 2 * LIFETIME_S, first));
    assert_true(opens(keys, NOW_S + 2 * LIFETIME_S, second));
    /* Not because it was used last: by time alone. */
    assert_false(opens(keys, NOW_S + 5 * LIFETIME_S, second));
    struct ticket third = sealed(keys, NOW_S + 5 * LIFETIME_S, &claim);
    assert_false(opens(keys, NOW_S, third)); /* a clock that is set back */
    ticket_claim_fini(&claim);
    ticket_keys_free(keys);
}

static void others_keys_open_nothing(void **state)
{
    struct ticket_keys *keys = new_keys(), *others = new_keys();
    struct ticket_claim claim = new_claim(10, 0);
    struct ticket ticket = sealed(keys, NOW_S, &claim);
    assert_false(opens(others, NOW_S, ticket));
    struct ticket theirs = sealed(others, NOW_S, &claim);
    memcpy(ticket.name, theirs.name, sizeof ticket.name);
    assert_false(opens(others, NOW_S, ticket));
    ticket_claim_fini(&claim);
    ticket_keys_free(keys);
    ticket_keys_free(others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_is_opened),
        cmocka_unit_test(no_changed_or_missing_byte_is_overlooked),
        cmocka_unit_test(a_claim_without_room_opens_for_nobody),
        cmocka_unit_test(keys_turn_and_are_forgotten),
        cmocka_unit_test(others_keys_open_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
