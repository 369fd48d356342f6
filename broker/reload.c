#include "broker/reload.h"

#include "base/log.h"
#include "broker/broker.h"
#include "broker/policy.h"
#include "config/config.h"

static void needs_restart(void *context, const char *what)
{
    log_line(LOG_WARNING, "%s: %s: takes a restart to change", (const char *)context, what);
}

static void refuse(const char *cause, const char *error)
{
    log_line(LOG_ERROR, "%s: %s; everything stays as it was", cause, error);
}

void reload_log(const struct config_log *config)
{
    log_threshold = config->level;
    log_format = config->format;
    log_limit = config->max_lines;
}

void reload_from(struct broker *broker, const char *path, const char *cause)
{
    struct config config;
    struct policy *policy;
    char error[768];
    log_line(LOG_NOTICE, "%s: reading %s again", cause, path != NULL ? path : "the defaults");
    if (config_load(path, &config, error, sizeof error) != STATUS_OK) {
        refuse(cause, error);
        return;
    }
    if (policy_new(&config, broker->policy, &policy, error, sizeof error) != STATUS_OK ||
        broker_prepare(broker, policy) != STATUS_OK) {
        refuse(cause, error[0] != '\0' ? error : "no threads to try passwords on");
        policy_drop(policy);
        config_fini(&config);
        return;
    }
    for (size_t i = 0; i < config.warning_count; i++)
        log_line(LOG_WARNING, "%s", config.warnings[i]);
    config_compare(broker->config, &config, needs_restart, (void *)cause);
    reload_log(&config.log);
    policy_offer(broker, policy);
    config_fini(&config);
}

/* ---- Files that have changed ---- */

bool reload_is_due(struct reload_watch *watch, const struct policy *policy)
{
    uint64_t now = watch_look(&policy->watch);
    bool is_settled = now == watch->last;
    watch->last = now;
    if (!is_settled || now == watch->read)
        return false;
    watch->read = now;
    return true;
}

struct reload_watch reload_watch_of(const struct policy *policy)
{
    return (struct reload_watch){.read = policy->seen, .last = policy->seen};
}
