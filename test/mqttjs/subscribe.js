'use strict'
// Subscribes with a stored session and leaves: with a DISCONNECT, or by dropping the connection.

const { env, connect, fail } = require('./connect')

const client = connect()
client.on('error', fail)
client.on('connect', () => {
  client.subscribe(env.MQTT_FILTER, { qos: Number(env.MQTT_QOS) }, (error, granted) => {
    if (error || granted[0].qos !== Number(env.MQTT_QOS)) fail(error || JSON.stringify(granted))
    if (env.MQTT_LEAVE === 'drop') {
      client.stream.destroy()
      process.exit(0)
    }
    client.end(false, {}, () => process.exit(0))
  })
})
