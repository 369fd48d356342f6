/* The addresses of a host name. */
#ifndef CONFORMANCE_ADDRESS_H
#define CONFORMANCE_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

struct addrinfo;

/* All addresses for TCP, to be given to address_free(); NULL and a sentence in `error` if there are
 * none by `deadline_ms` of transport_clock_ms(). A name server that does not answer would make
 * getaddrinfo(3) wait for much longer: then a thread that waits for it is left behind. */
struct addrinfo *address_resolve(const char *host, const char *port, uint64_t deadline_ms,
                                 char *error, size_t error_size);
void address_free(struct addrinfo *addresses);

#endif
