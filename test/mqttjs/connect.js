'use strict'
// A connection with a stored session, as the environment describes it.

const fs = require('fs')
const mqtt = require('mqtt')

const env = process.env
const version = Number(env.MQTT_VERSION)

exports.env = env
exports.connect = (extra = {}) => mqtt.connect(env.MQTT_URL, {
  protocolVersion: version,
  clientId: env.MQTT_CLIENT_ID,
  clean: env.MQTT_CLEAN === 'true',
  properties: version === 5 && env.MQTT_CLEAN !== 'true' ? { sessionExpiryInterval: 3600 } : undefined,
  ca: env.MQTT_URL.startsWith('mqtts') ? [fs.readFileSync(env.MQTT_CA)] : undefined,
  reconnectPeriod: 0,
  connectTimeout: 20000,
  ...extra
})

exports.fail = (error) => {
  console.error(String(error))
  process.exit(1)
}
