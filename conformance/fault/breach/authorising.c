/* Faults of authorisation, which are breaches of the one in front of the server. */
#include "conformance/fault/fault.h"

FAULT_HOOKS(delivers_denied, .authorisation = AUTHORISER_DELIVERS)
FAULT_HOOKS(delivers_denied_by_alias, .authorisation = AUTHORISER_DELIVERS_BY_ALIAS)
FAULT_HOOKS(retains_denied, .authorisation = AUTHORISER_RETAINS)
FAULT_HOOKS(confirms_denied, .authorisation = AUTHORISER_CONFIRMS)
FAULT_HOOKS(silent_about_denied, .authorisation = AUTHORISER_SAYS_NOTHING)
FAULT_HOOKS(holds_id_of_denied, .authorisation = AUTHORISER_HOLDS_ID)
FAULT_HOOKS(publishes_denied_will, .authorisation = AUTHORISER_PUBLISHES_WILL)
FAULT_HOOKS(grants_denied_filter, .authorisation = AUTHORISER_GRANTS)
FAULT_HOOKS(denied_filter_fails_all, .authorisation = AUTHORISER_FAILS_ALL)
FAULT_HOOKS(delivers_to_denied_filter, .authorisation = AUTHORISER_SUBSCRIBES_SECRETLY)
