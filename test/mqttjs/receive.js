'use strict'
// Resumes a stored session and prints "QOS TOPIC PAYLOAD" of COUNT messages; ends when their
// exchanges are complete, which an UNSUBACK that is asked for behind the last of them shows.

const { env, connect, fail } = require('./connect')

const client = connect()
let left = Number(env.MQTT_COUNT)
const lines = []
client.on('error', fail)
client.on('connect', (connack) => {
  if (!connack.sessionPresent) fail('Session Present is 0')
})
client.on('message', (topic, payload, packet) => {
  lines.push(`${packet.qos} ${topic} ${payload}`)
  if (--left > 0) return
  client.unsubscribe('never/subscribed', () => {
    process.stdout.write(lines.join('\n') + '\n')
    client.end(false, {}, () => process.exit(0))
  })
})
