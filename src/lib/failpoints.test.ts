import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { configureFailpoints, failpoint, failpointSpec, isControlOn } from "./failpoints";
import { until } from "../../test/until";

afterEach(() => configureFailpoints(""));

test("nothing happens at a failpoint that is not armed", () => {
  configureFailpoints("commit.before=throw");
  expect(() => failpoint("commit.after")).not.toThrow();
  configureFailpoints("");
  expect(() => failpoint("commit.before")).not.toThrow();
});

test("an armed failpoint acts at every hit, or at the one named alone", () => {
  configureFailpoints("every=throw, third=throw@3; ack.before-fanout=delay:1");
  expect(() => failpoint("every")).toThrow("armed");
  expect(() => failpoint("every")).toThrow("armed");
  failpoint("third");
  failpoint("third");
  expect(() => failpoint("third")).toThrow("armed");
  expect(() => failpoint("third")).not.toThrow();
  expect(() => failpoint("ack.before-fanout")).not.toThrow();
});

test("a process that is armed to stop stands still there until it is continued", async () => {
  const source = `
    import { configureFailpoints, failpoint } from ${JSON.stringify(join(import.meta.dir, "failpoints.ts"))};
    configureFailpoints("here=stop");
    console.log("before");
    failpoint("here");
    console.log("behind");
  `;
  const child = Bun.spawn([process.execPath, "-e", source], { stdout: "pipe" });
  await until(async () => /^State:\s+T/m.test(await Bun.file(`/proc/${child.pid}/status`).text()));
  child.kill("SIGCONT");
  expect(await new Response(child.stdout).text()).toBe("before\nbehind\n");
});

test("a name alone turns a negative control on, until the next configuration", () => {
  configureFailpoints("negative.cursorWithoutMax,commit.before=throw");
  expect(isControlOn("negative.cursorWithoutMax")).toBe(true);
  expect(isControlOn("negative.noUniqueIndex")).toBe(false);
  expect(failpointSpec()).toBe("negative.cursorWithoutMax,commit.before=throw");
  configureFailpoints("");
  expect(isControlOn("negative.cursorWithoutMax")).toBe(false);
});

test("what it does not understand is an error that says the form", () => {
  for (const wrong of ["commit.before=explode", "=exit", "a b", "x=delay:fast"]) {
    expect(() => configureFailpoints(wrong)).toThrow("name=exit|end|stop|throw|delay:ms");
  }
});
