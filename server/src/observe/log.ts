import { type Logger as PinoLogger, pino } from "pino";

/** Log events are dotted and past tense ("session.opened"); everything else is a field. */
export interface Logger {
  debug(what: string, fields?: object): void;
  info(what: string, fields?: object): void;
  warn(what: string, fields?: object): void;
  error(what: string, fields?: object): void;
  /** The same log with fields that every line carries. */
  with(fields: object): Logger;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on standard output: time, level, `what`, and the event's fields; an `error` field carries its stack. */
export function createLog(level: LogLevel): Logger {
  const sink = pino(
    {
      level,
      base: null,
      messageKey: "what",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    pino.destination({ sync: true }),
  );
  return wrap(sink);
}

function wrap(sink: Pick<PinoLogger, "debug" | "info" | "warn" | "error" | "child">): Logger {
  return {
    debug: (what, fields = {}) => sink.debug(fields, what),
    info: (what, fields = {}) => sink.info(fields, what),
    warn: (what, fields = {}) => sink.warn(fields, what),
    error: (what, fields = {}) => sink.error(fields, what),
    with: (fields) => wrap(sink.child(fields)),
  };
}

export const silentLog: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};
