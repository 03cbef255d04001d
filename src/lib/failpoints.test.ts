import { afterEach, expect, test } from "bun:test";
import { configureFailpoints, failpoint, failpointSpec, isControlOn } from "./failpoints";

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
    expect(() => configureFailpoints(wrong)).toThrow("name=exit|end|throw|delay:ms");
  }
});
