// The dashboard in a headless Chromium: node check.js URL TOKEN DIRECTORY [STATE]; DIRECTORY gets the screenshots.
// With STATE (LOOKS below) it looks whether the page shows that state of the broker; without, at all that it does.
// Prints what is wrong, a line each, and exits with 1.
"use strict";

const path = require("path");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const [url, token, directory, state] = process.argv.slice(2);
const HOSTILE = JSON.parse(process.env.HOSTILE || "[]");
const wrong = [];

function check(condition, sentence) {
  if (!condition)
    wrong.push(sentence);
}

async function faults(page, where) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run());
  for (const one of found.violations) {
    if (["serious", "critical"].includes(one.impact))
      wrong.push(`${where}: ${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  }
}

/* Three times at most: on a busy machine a browser's first request is lost now and then, with a connection that
 * it opened before it had one; a person presses the key again. */
async function offer(page, text, awaited) {
  for (let attempt = 1; ; attempt++) {
    await page.goto(url);
    await page.getByLabel("First line of").fill(text);
    await page.keyboard.press("Enter");
    try {
      return await awaited.waitFor({ state: "visible", timeout: 10000 });
    } catch (error) {
      if (attempt === 3)
        throw error;
    }
  }
}

async function logIn(page) {
  await offer(page, token, page.locator("#board"));
}

function watch(page) {
  page.on("dialog", (dialog) => { wrong.push("a dialog: " + dialog.message()); dialog.dismiss(); });
  page.on("pageerror", (error) => wrong.push("an error: " + error.message));
  page.on("console", (line) => line.type() === "error" && !line.text().includes("401") && wrong.push("console: " + line.text()));
  page.on("request", (request) => check(request.url().startsWith(url) && !request.url().includes(token),
                                        "it asks for " + request.url()));
}

async function wrongToken(browser) {
  const page = await browser.newPage();
  watch(page);
  const refused = Promise.all(["stats", "listeners"].map((name) =>
    page.waitForResponse((response) => response.url().endsWith("/" + name) && response.status() === 401)));
  await offer(page, "x".repeat(20), page.locator("#state.bad").filter({ hasText: "This token is not taken." }));
  await (await refused).reduce((before, response) => before.then(() => response.finished()), Promise.resolve());
  await page.evaluate(() => new Promise((seen) => setTimeout(seen))); // the page has taken the last answer in
  check(await page.locator("#state").textContent() === "This token is not taken.",
        "without a token it says: " + await page.locator("#state").textContent());
  check(await page.locator("#board").isHidden(), "the board is there without a token");
  await page.close();
}

async function sessions(page) {
  for (const name of HOSTILE)
    await page.locator("#sessions bdi").filter({ hasText: name.visible }).first().waitFor();
  check(await page.locator("#sessions img, #sessions script, #one img").count() === 0, "a client identifier has become markup");
  await page.getByLabel("Client identifier has").fill("pump");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#sessions tr").length === 1);
  await page.locator("#sessions button").first().focus();
  await page.keyboard.press("Enter");
  await page.locator("#one").waitFor({ state: "visible" });
  await page.locator('#machines svg[aria-label="A Network Connection: CONNECTED"] g.lit').waitFor();
  check(await page.locator("#machines svg").first().locator("g.lit title").allTextContents().then(String) === "CONNECTED",
        "another state than CONNECTED is lit");
  check(await page.locator("#steps li").count() > 0, "no steps are shown");
  await page.locator("#subscriptions li", { hasText: "house/#" }).waitFor();
}

async function messages(page) {
  await page.getByLabel("Topic", { exact: true }).fill("house/set");
  await page.getByLabel("Payload").fill("<b>on</b>");
  await page.getByLabel("QoS").selectOption("1");
  await page.getByLabel("Retain", { exact: true }).check();
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("For 1 sessions.").waitFor();
  await page.getByRole("button", { name: "Look", exact: true }).click();
  await page.locator("#retained li", { hasText: "<b>on</b>" }).waitFor();
}

async function openFirstSession(page) {
  await page.locator("#sessions button").first().click();
  await page.locator("#one").waitFor({ state: "visible" });
}

/* What the page has to show in a state of the broker, before it is looked at. */
const LOOKS = {
  empty: async (page) => {
    await page.locator("#sessions").getByText("none here").waitFor();
    await page.locator("#drops").getByText("Nothing was dropped.").waitFor();
  },
  load: async (page) => {
    await page.locator("figcaption", { hasText: /PUBLISH received a second: [1-9]/ }).waitFor();
    await page.locator("figcaption", { hasText: /PUBLISH sent a second: [1-9]/ }).waitFor();
    await page.locator("#limits li", { hasText: /^max_retained_messages: .*; full in \d/ }).waitFor();
    await page.getByRole("button", { name: "Next page" }).waitFor();
    await openFirstSession(page);
  },
  broken: async (page) => {
    await page.locator("#state.bad").filter({ hasText: "The disk fails: QoS 1 and 2 are refused." }).waitFor();
  },
};

/* As docs/first-day.md has it: once, by somebody who has just typed the token. */
async function firstDay(browser) {
  const page = await browser.newPage();
  watch(page);
  await logIn(page);
  await page.locator("#sessions bdi").filter({ hasText: "thermostat" }).waitFor();
  await page.locator("#listeners", { hasText: "devices" }).waitFor();
  await page.screenshot({ path: path.join(directory, "first-day.png"), fullPage: true });
}

async function everySize(browser, prefix, ready) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, width] of [["phone", 360], ["desk", 1200]]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
      const page = await context.newPage();
      watch(page);
      if (state === undefined)
        await faults(await page.goto(url) && page, `${colorScheme} ${size}, before the token`);
      await logIn(page);
      await ready(page);
      await page.waitForFunction(() => document.querySelectorAll("polyline[points]").length > 0);
      check(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
            `${size}: the page is wider than the window`);
      await faults(page, `${colorScheme} ${size}`);
      await page.screenshot({ path: path.join(directory, `${prefix}${colorScheme}-${size}.png`), fullPage: true });
      await context.close();
    }
  }
}

async function everything(browser) {
  await wrongToken(browser);
  const page = await browser.newPage();
  watch(page);
  await logIn(page);
  await sessions(page);
  await messages(page);
  await page.close();
  await everySize(browser, "", openFirstSession);
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    if (state === undefined)
      await everything(browser);
    else if (state === "first_day")
      await firstDay(browser);
    else
      await everySize(browser, state + "-", LOOKS[state]);
  } finally {
    await browser.close();
  }
}

main().catch((error) => wrong.push(error.stack)).then(() => {
  for (const line of wrong)
    console.log(line);
  process.exit(wrong.length > 0 ? 1 : 0);
});
