import { type ByteWriter, createByteWriter } from '../sql/cells/byte-writer.ts';
import { createFieldReader, type FrontendMessage } from './codec.ts';

// The client's side of the protocol, for tests that say and see each message.

export interface RawWriter {
  startup(parameters: Readonly<Record<string, string>>, version?: number): void;
  request(code: number, ...fields: number[]): void;
  message(message: FrontendMessage): void;
  take(): Buffer;
}

export function createRawWriter(): RawWriter {
  const out = createByteWriter();
  const untyped = (write: () => void): void => {
    const at = out.beginValue();
    write();
    out.endValue(at);
  };
  let pending: Buffer[] = [];
  return {
    startup: (parameters, version = 3 << 16) => {
      untyped(() => {
        out.int32(version);
        for (const field of [...Object.entries(parameters).flat(), '']) out.cstring(field);
      });
      pending.push(countItself(out.take()));
    },
    request: (code, ...fields) => {
      untyped(() => {
        for (const field of [code, ...fields]) out.int32(field);
      });
      pending.push(countItself(out.take()));
    },
    message: (message) => {
      out.begin(typeOf(message));
      writeBody(out, message);
      out.end();
      pending.push(out.take());
    },
    take: () => {
      const bytes = Buffer.concat(pending);
      pending = [];
      return bytes;
    },
  };
}

/** The length of a message counts itself, that of a value doesn't. */
function countItself(bytes: Buffer): Buffer {
  bytes.writeInt32BE(bytes.length);
  return bytes;
}

const types = {
  query: 'Q',
  parse: 'P',
  bind: 'B',
  describe: 'D',
  execute: 'E',
  close: 'C',
  flush: 'H',
  sync: 'S',
  terminate: 'X',
  'function-call': 'F',
  copy: 'd',
} as const;

const typeOf = (message: FrontendMessage): string => types[message.kind];

function writeBody(out: ByteWriter, message: FrontendMessage): void {
  const list = <T>(items: readonly T[], write: (item: T) => void): void => {
    out.int16(items.length);
    for (const item of items) write(item);
  };
  switch (message.kind) {
    case 'query':
      out.cstring(message.text);
      break;
    case 'parse':
      out.cstring(message.name);
      out.cstring(message.text);
      list(message.parameterOids, (oid) => out.int32(oid | 0));
      break;
    case 'bind':
      out.cstring(message.portal);
      out.cstring(message.statement);
      list(message.parameterFormats, out.int16);
      list(message.parameters, (value) => {
        out.int32(value?.length ?? -1);
        if (value) out.bytes(value);
      });
      list(message.resultFormats, out.int16);
      break;
    case 'describe':
    case 'close':
      out.text(message.object === 'statement' ? 'S' : 'P');
      out.cstring(message.name);
      break;
    case 'execute':
      out.cstring(message.portal);
      out.int32(message.rowsMax);
      break;
    default:
  }
}

/** The server's messages as short lines, for example `C SELECT 2`, `D 1|w1`, `E 22012 division by zero`, `Z I`. */
export function printMessages(bytes: Buffer): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = bytes.readInt32BE(at + 1);
    const type = bytes.toString('latin1', at, at + 1);
    lines.push(`${type} ${printBody(type, bytes.subarray(at + 5, at + 1 + length))}`.trim());
    at += 1 + length;
  }
  return lines;
}

function printBody(type: string, body: Buffer): string {
  const fields = createFieldReader(body);
  switch (type) {
    case 'T':
      return fields
        .list(() => {
          const name = fields.cstring();
          fields.bytes(6);
          const oid = fields.int32();
          fields.bytes(6);
          return `${name}:${oid}${fields.int16() === 1 ? ':binary' : ''}`;
        })
        .join('|');
    case 'D':
      return fields
        .list(() => {
          const size = fields.int32();
          return size < 0 ? 'NULL' : fields.bytes(size).toString();
        })
        .join('|');
    case 't':
      return fields.list(fields.int32).join(' ');
    case 'E':
    case 'N': {
      const all = new Map(
        body
          .toString()
          .split('\0')
          .map((field) => [field[0], field.slice(1)]),
      );
      const extra = ['P', 'H', 'D'].flatMap((key) => (all.has(key) ? [`${key}=${all.get(key)}`] : []));
      const severity = all.get('V') === 'ERROR' ? [] : [all.get('V')];
      return [...severity, all.get('C'), all.get('M'), ...extra].join(' ');
    }
    case 'S':
      return `${fields.cstring()}=${fields.cstring()}`;
    case 'C':
      return fields.cstring();
    case 'Z':
      return body.toString();
    case 'R':
      return String(fields.int32());
    case 'v':
      return `${fields.int32()} ${Array.from({ length: fields.int32() }, fields.cstring).join(' ')}`;
    default:
      return '';
  }
}
