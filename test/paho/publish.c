/* Publishes one message at QoS 1 with Paho for C, as the environment describes it; ends when it is
 * acknowledged, or with status 1 when the broker refuses. Built by the case that uses it. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int TIME_MS = 20000;

static const char *option(const char *name)
{
    return getenv(name);
}

static int digit(char character)
{
    const char *digits = "0123456789abcdef";
    return (int)(strchr(digits, character) - digits);
}

/* OpenSSL asks for identity and key. */
static unsigned give_key(const char *hint, char *identity, unsigned identity_size,
                         unsigned char *key, unsigned key_size, void *context)
{
    const char *hex = option("MQTT_PSK");
    unsigned size = 0;
    snprintf(identity, identity_size, "%s", option("MQTT_PSK_IDENTITY"));
    for (; hex[2 * size] != '\0' && size < key_size; size++)
        key[size] = (unsigned char)(digit(hex[2 * size]) << 4 | digit(hex[2 * size + 1]));
    (void)hint, (void)context;
    return size;
}

static int tell(const char *str, size_t length, void *context)
{
    (void)context;
    return fprintf(stderr, "%.*s\n", (int)length, str);
}

static MQTTClient_SSLOptions security(void)
{
    MQTTClient_SSLOptions out = MQTTClient_SSLOptions_initializer;
    out.enableServerCertAuth = 1;
    out.verify = 1; /* the name, too */
    out.trustStore = option("MQTT_CA");
    out.keyStore = option("MQTT_CERT");
    out.privateKey = option("MQTT_KEY");
    out.ssl_error_cb = tell;
    if (option("MQTT_PSK") != NULL) {
        out.enabledCipherSuites = "ECDHE-PSK-CHACHA20-POLY1305";
        out.ssl_psk_cb = give_key;
        out.disableDefaultTrustStore = 1;
        out.enableServerCertAuth = 0; /* there is no certificate; Paho looks at it all the same */
        out.verify = 0;
        out.trustStore = NULL;
    }
    return out;
}

static int fail(const char *what, int code)
{
    printf("%s: %d\n", what, code);
    return 1;
}

static int go(MQTTClient client, int v5, MQTTClient_message *message)
{
    const char *topic = option("MQTT_TOPIC");
    MQTTClient_deliveryToken token;
    if (!v5) {
        int code = MQTTClient_publishMessage(client, topic, message, &token);
        return code == 0 ? MQTTClient_waitForCompletion(client, token, (unsigned long)TIME_MS)
                         : code;
    }
    MQTTResponse response = MQTTClient_publishMessage5(client, topic, message, &token);
    int code = response.reasonCode;
    MQTTResponse_free(response);
    return code == 0 ? MQTTClient_waitForCompletion(client, token, (unsigned long)TIME_MS) : code;
}

static int enter(MQTTClient client, int v5, MQTTClient_SSLOptions *ssl)
{
    MQTTClient_connectOptions v3_options = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions v5_options = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions *options = v5 ? &v5_options : &v3_options;
    options->username = option("MQTT_USER");
    options->password = option("MQTT_PASSWORD");
    options->connectTimeout = TIME_MS / 1000;
    options->ssl = ssl;
    if (!v5) {
        options->MQTTVersion = MQTTVERSION_3_1_1; /* and nothing older when that is refused */
        options->cleansession = 1;
        return MQTTClient_connect(client, options);
    }
    options->cleanstart = 1;
    MQTTResponse response = MQTTClient_connect5(client, options, NULL, NULL);
    int code = response.reasonCode;
    MQTTResponse_free(response);
    return code;
}

int main(void)
{
    const char *payload = option("MQTT_PAYLOAD");
    int v5 = strcmp(option("MQTT_VERSION"), "5") == 0;
    MQTTClient client;
    MQTTClient_SSLOptions ssl = security();
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = (char *)payload;
    message.payloadlen = (int)strlen(payload);
    message.qos = 1;
    int code = MQTTClient_createWithOptions(&client, option("MQTT_URL"), option("MQTT_CLIENT_ID"),
                                            MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (code != MQTTCLIENT_SUCCESS)
        return fail("create", code);
    code = enter(client, v5, &ssl);
    if (code != MQTTCLIENT_SUCCESS)
        return fail("connect", code);
    code = go(client, v5, &message);
    if (code != MQTTCLIENT_SUCCESS)
        return fail("publish", code);
    code = v5 ? MQTTClient_disconnect5(client, TIME_MS, MQTTREASONCODE_SUCCESS, NULL)
              : MQTTClient_disconnect(client, TIME_MS);
    MQTTClient_destroy(&client);
    return code == MQTTCLIENT_SUCCESS ? 0 : fail("disconnect", code);
}
