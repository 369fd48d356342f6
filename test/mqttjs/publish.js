'use strict'
// Publishes COUNT messages "N at QoS Q" at each QoS of QOS (a list) and ends when all are
// acknowledged. MQTT.js leaves Receive Maximum to its user, so no more than WINDOW are under way.

const { env, connect, fail } = require('./connect')

const WINDOW = 20
const client = connect()
const messages = []
for (let number = 0; number < Number(env.MQTT_COUNT); number++) {
  for (const qos of env.MQTT_QOS.split(',').map(Number)) messages.push([`${number} at QoS ${qos}`, qos])
}
let next = 0
let open = 0

function publishSome () {
  while (open < WINDOW && next < messages.length) {
    const [payload, qos] = messages[next++]
    open++
    client.publish(env.MQTT_TOPIC, payload, { qos }, (error) => {
      if (error) fail(error)
      open--
      publishSome()
    })
  }
  if (open === 0) client.end(false, {}, () => process.exit(0))
}

client.on('error', fail)
client.on('connect', publishSome)
