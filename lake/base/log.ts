/** Structured log lines on standard error: one line an event, `key=value` fields after the message. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same logger with fields that every line carries. */
  with(fields: LogFields): Logger;
}

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = keyof typeof rank;

const rank = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const satisfies readonly LogLevel[];

/** `write` takes one line without its newline. */
export function createLogger(
  level: LogLevel,
  write: (line: string) => void = (line) => process.stderr.write(`${line}\n`),
  bound: LogFields = {},
): Logger {
  const emit = (lineLevel: LogLevel, message: string, fields: LogFields = {}): void => {
    if (rank[lineLevel] < rank[level]) return;
    const all = Object.entries({ ...bound, ...fields }).filter(([, value]) => value !== undefined);
    const tail = all.map(([key, value]) => ` ${key}=${printValue(value)}`).join('');
    write(`${new Date().toISOString()} ${lineLevel.toUpperCase().padEnd(5)} ${message}${tail}`);
  };
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    with: (fields) => createLogger(level, write, { ...bound, ...fields }),
  };
}

function printValue(value: unknown): string {
  const text =
    value instanceof Error ? value.message : typeof value === 'string' ? value : JSON.stringify(value);
  return /[\s"=]/.test(text ?? '') ? JSON.stringify(text) : (text ?? 'undefined');
}
