/* Faults of enhanced authentication, which are breaches of the methods in front of the server. */
#include "conformance/fault/fault.h"

FAULT_HOOKS(takes_any_answer, .authentication = AUTHENTICATOR_TAKES_ANY_ANSWER)
FAULT_HOOKS(takes_any_auth_code, .authentication = AUTHENTICATOR_TAKES_ANY_CODE)
FAULT_HOOKS(takes_any_method, .authentication = AUTHENTICATOR_TAKES_ANY_METHOD)
FAULT_HOOKS(refuses_reauthentication, .authentication = AUTHENTICATOR_REFUSES_AGAIN)

FAULT_HOOKS(wrong_server_signature, .scram = SCRAM_WRONG_SIGNATURE)
FAULT_HOOKS(forgets_client_nonce, .scram = SCRAM_FORGETS_CLIENT_NONCE)
FAULT_HOOKS(repeats_server_nonce, .scram = SCRAM_REPEATS_NONCE)
FAULT_HOOKS(takes_any_nonce, .scram = SCRAM_TAKES_ANY_NONCE)
FAULT_HOOKS(takes_any_channel_binding, .scram = SCRAM_TAKES_ANY_BINDING)
FAULT_HOOKS(takes_demands, .scram = SCRAM_TAKES_DEMANDS)
FAULT_HOOKS(takes_any_user, .scram = SCRAM_TAKES_ANY_USER)
