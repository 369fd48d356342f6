'use strict'
// A connection with a stored session, as the environment describes it.

const fs = require('fs')
const mqtt = require('mqtt')

const env = process.env
const version = Number(env.MQTT_VERSION)

/* Node has pre-shared keys for TLS 1.2 alone, and no certificate to look at then. */
const shared = env.MQTT_PSK
  ? {
      pskCallback: () => ({ psk: Buffer.from(env.MQTT_PSK, 'hex'), identity: env.MQTT_PSK_IDENTITY }),
      ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
      maxVersion: 'TLSv1.2',
      checkServerIdentity: () => undefined
    }
  : {}

exports.env = env
exports.connect = (extra = {}) => mqtt.connect(env.MQTT_URL, {
  protocolVersion: version,
  clientId: env.MQTT_CLIENT_ID,
  clean: env.MQTT_CLEAN === 'true',
  properties: version === 5 && env.MQTT_CLEAN !== 'true' ? { sessionExpiryInterval: 3600 } : undefined,
  ca: /^(mqtts|wss):/.test(env.MQTT_URL) ? [fs.readFileSync(env.MQTT_CA)] : undefined,
  cert: env.MQTT_CERT ? fs.readFileSync(env.MQTT_CERT) : undefined,
  key: env.MQTT_KEY ? fs.readFileSync(env.MQTT_KEY) : undefined,
  username: env.MQTT_USER,
  password: env.MQTT_PASSWORD,
  ...shared,
  wsOptions: shared,
  reconnectPeriod: 0,
  connectTimeout: 20000,
  ...extra
})

exports.fail = (error) => {
  console.error(String(error))
  process.exit(1)
}
