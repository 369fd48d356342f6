// MQTT.js on a page of a headless Chromium, as the environment describes it: one step of its life. The page
// comes from an origin of its own, http://PAGE_HOST:PAGE_PORT.
//
//   subscribe  makes a stored session, and leaves: by DISCONNECT, or as a closed tab does
//   receive    resumes it, and prints "QOS TOPIC PAYLOAD" of each message, COUNT different ones at least
//   refused    prints with which code CONNACK refuses, or that no connection came of three attempts
'use strict'

const fs = require('fs')
const http = require('http')
const path = require('path')
const { chromium } = require('playwright-core')

const env = process.env
const LIBRARY = path.join(path.dirname(require.resolve('mqtt/package.json')), 'dist', 'mqtt.min.js')
const PAGE = '<!doctype html><meta charset="utf-8"><title>page</title><script src="/mqtt.js"></script>'

function serve () {
  const server = http.createServer((request, response) => {
    const library = request.url === '/mqtt.js'
    response.setHeader('Content-Type', library ? 'text/javascript' : 'text/html')
    response.end(library ? fs.readFileSync(LIBRARY) : PAGE)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(Number(env.PAGE_PORT), env.PAGE_HOST, () => resolve(server))
  })
}

/* The browser's part: nothing of this file's is to be seen from here. A connection that is lost is made again,
 * as a page would: on a busy machine a browser loses its first request now and then. */
const steps = {
  subscribe: ({ url, options, filter, qos, leave }) => new Promise((resolve, reject) => {
    const client = window.mqtt.connect(url, options)
    client.on('error', () => {})
    client.on('connect', () => client.subscribe(filter, { qos }, (error, granted) => {
      if (error || granted[0].qos !== qos) return reject(new Error(String(error || granted[0].qos)))
      if (leave === 'drop') return resolve([])
      client.end(false, {}, () => resolve([]))
    }))
  }),
  receive: ({ url, options, count }) => new Promise((resolve, reject) => {
    const client = window.mqtt.connect(url, options)
    client.on('error', () => {})
    const lines = []
    const different = new Set()
    client.on('connect', (connack) => connack.sessionPresent || reject(new Error('Session Present is 0')))
    client.on('message', (topic, payload, packet) => {
      lines.push(`${packet.qos} ${topic} ${payload}`)
      different.add(String(payload))
      if (different.size < count) return
      client.unsubscribe('never/subscribed', () => client.end(false, {}, () => resolve(lines)))
    })
  }),
  refused: ({ url, options }) => new Promise((resolve, reject) => {
    let attempts = 0
    const client = window.mqtt.connect(url, { ...options, reconnectPeriod: 100 })
    const end = (line) => client.end(true, {}, () => resolve([line]))
    client.on('error', (error) => typeof error.code === 'number' && end(`refused with ${error.code}`))
    client.on('connect', () => reject(new Error('connected')))
    client.on('close', () => ++attempts === 3 && end('no connection'))
  })
}

async function open (page) {
  for (let attempt = 1; ; attempt++) {
    try {
      await page.goto(`http://${env.PAGE_HOST}:${env.PAGE_PORT}/`)
      return await page.waitForFunction(() => window.mqtt !== undefined)
    } catch (error) {
      if (attempt === 3) throw error
    }
  }
}

async function main () {
  const version = Number(env.MQTT_VERSION)
  const server = await serve()
  /* Trust in this one key, whose certificate is for this address, and in nobody else's. */
  const browser = await chromium.launch({
    executablePath: env.CHROMIUM,
    args: ['--no-sandbox', `--ignore-certificate-errors-spki-list=${env.MQTT_SERVER_KEY}`]
  })
  try {
    const page = await browser.newPage()
    await open(page)
    const lines = await page.evaluate(steps[env.MQTT_STEP], {
      url: env.MQTT_URL,
      filter: env.MQTT_FILTER,
      qos: Number(env.MQTT_QOS),
      leave: env.MQTT_LEAVE,
      count: Number(env.MQTT_COUNT),
      options: {
        protocolVersion: version,
        clientId: env.MQTT_CLIENT_ID,
        username: env.MQTT_USER,
        password: env.MQTT_PASSWORD,
        clean: false,
        properties: version === 5 ? { sessionExpiryInterval: 3600 } : undefined,
        reconnectPeriod: 1000,
        connectTimeout: 20000
      }
    })
    process.stdout.write(lines.map((line) => line + '\n').join(''))
  } finally {
    await browser.close()
    server.close()
  }
}

main().then(() => process.exit(0), (error) => {
  console.error(error.stack)
  process.exit(1)
})
