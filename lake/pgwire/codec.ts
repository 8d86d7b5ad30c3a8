import { SqlError } from '../sql/errors.ts';

// What clients send: bytes -> frames -> messages.
// https://www.postgresql.org/docs/16/protocol-message-formats.html
// A frame that is malformed ends the connection, because nobody knows where the next one begins; a malformed message
// in a good frame is an error like any other.

/** One message as it came: its type (empty before the session starts) and its body without the length. */
export interface Frame {
  readonly type: string;
  readonly body: Buffer;
}

export type StartupMessage =
  | { readonly kind: 'ssl-request' }
  | { readonly kind: 'gss-request' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
    };

type ObjectKind = 'statement' | 'portal';

export type FrontendMessage =
  | { readonly kind: 'query'; readonly text: string }
  | {
      readonly kind: 'parse';
      readonly name: string;
      readonly text: string;
      /** 0: the server shall infer the type. */
      readonly parameterOids: readonly number[];
    }
  | BindMessage
  | { readonly kind: 'describe'; readonly object: ObjectKind; readonly name: string }
  | { readonly kind: 'close'; readonly object: ObjectKind; readonly name: string }
  | {
      readonly kind: 'execute';
      readonly portal: string;
      /** 0: no limit. */
      readonly rowsMax: number;
    }
  | { readonly kind: 'flush' | 'sync' | 'terminate' | 'function-call' | 'copy' };

export interface BindMessage {
  readonly kind: 'bind';
  readonly portal: string;
  readonly statement: string;
  /** None (all text), one for all, or one each; 0 is text, 1 binary. */
  readonly parameterFormats: readonly number[];
  readonly parameters: readonly (Buffer | null)[];
  readonly resultFormats: readonly number[];
}

/** Before the session frames are small; those of the start-up have no type. */
export type Phase = 'startup' | 'authentication' | 'session';

export interface FrameReader {
  push(chunk: Buffer): void;
  /** Bytes that wait to be read. */
  readonly bufferedBytes: number;
  /**
   * The next frame, or undefined until more bytes come. Throws SqlError 08P01 for
   * what can't be a frame, 54000 for one over `messageBytesMax`; after that the stream is of no use.
   */
  next(phase: Phase): Frame | undefined;
}

const frontendTypes = 'QPBDECHSXFdcfp';
/** PostgreSQL's own limit for what comes before authentication. */
export const startupBytesMax = 10_000;

export function createFrameReader(messageBytesMax: number): FrameReader {
  let chunks: Buffer[] = [];
  let bufferedBytes = 0;
  /** Set when a frame's length is known, so that its chunks are joined once. */
  let neededBytes = 0;

  const joined = (): Buffer => {
    if (chunks.length > 1) chunks = [Buffer.concat(chunks)];
    return chunks[0] ?? Buffer.alloc(0);
  };
  return {
    push: (chunk) => {
      chunks.push(chunk);
      bufferedBytes += chunk.length;
    },
    get bufferedBytes() {
      return bufferedBytes;
    },
    next: (phase) => {
      const lengthAt = phase === 'startup' ? 0 : 1;
      if (bufferedBytes < Math.max(lengthAt + 4, neededBytes)) return undefined;
      const bytes = joined();
      const type = bytes.toString('latin1', 0, lengthAt);
      const length = bytes.readInt32BE(lengthAt);
      checkHeader(type, length, phase === 'session' ? messageBytesMax : startupBytesMax);
      neededBytes = lengthAt + length;
      if (bufferedBytes < neededBytes) return undefined;
      const body = bytes.subarray(lengthAt + 4, neededBytes);
      chunks = [bytes.subarray(neededBytes)];
      bufferedBytes -= neededBytes;
      neededBytes = 0;
      return { type, body };
    },
  };
}

function checkHeader(type: string, length: number, bytesMax: number): void {
  if (type !== '' && !frontendTypes.includes(type)) {
    throw violation(`invalid frontend message type ${type.charCodeAt(0)}`);
  }
  if (length < 4) throw violation('invalid message length');
  if (length > bytesMax) {
    throw new SqlError('54000', `a message of ${length} bytes is over the limit of ${bytesMax}`, {
      hint: 'Send less in one message, or raise messageBytesMax.',
    });
  }
}

/** Reads the first message of a connection. Throws SqlError 08P01. */
export function decodeStartup(body: Buffer): StartupMessage {
  const fields = createFieldReader(body);
  const code = fields.int32();
  if (code === 80877103) return { kind: 'ssl-request' };
  if (code === 80877104) return { kind: 'gss-request' };
  if (code === 80877102) return { kind: 'cancel', processId: fields.int32(), secret: fields.rest() };
  const parameters = new Map<string, string>();
  const major = code >>> 16;
  if (major === 3) {
    for (let name = fields.cstring(); name !== ''; name = fields.cstring())
      parameters.set(name, fields.cstring());
    fields.end();
  }
  return { kind: 'startup', major, minor: code & 0xffff, parameters };
}

/** Reads a message of a session. Throws SqlError 08P01 (malformed) or 22021 (text that is not UTF-8). */
export function decodeMessage(frame: Frame): FrontendMessage {
  const fields = createFieldReader(frame.body);
  const message = decodeFields(frame.type, fields);
  if (message.kind !== 'copy' && message.kind !== 'function-call') fields.end();
  return message;
}

function decodeFields(type: string, fields: FieldReader): FrontendMessage {
  switch (type) {
    case 'Q':
      return { kind: 'query', text: fields.cstring() };
    case 'P':
      return {
        kind: 'parse',
        name: fields.cstring(),
        text: fields.cstring(),
        parameterOids: fields.list(() => fields.int32() >>> 0),
      };
    case 'B':
      return {
        kind: 'bind',
        portal: fields.cstring(),
        statement: fields.cstring(),
        parameterFormats: fields.list(fields.int16),
        parameters: fields.list(() => {
          const length = fields.int32();
          return length === -1 ? null : fields.bytes(length);
        }),
        resultFormats: fields.list(fields.int16),
      };
    case 'D':
    case 'C': {
      const object = fields.bytes(1).toString('latin1');
      if (object !== 'S' && object !== 'P') throw violation(`invalid ${type} message subtype ${object}`);
      return {
        kind: type === 'D' ? 'describe' : 'close',
        object: object === 'S' ? 'statement' : 'portal',
        name: fields.cstring(),
      };
    }
    case 'E':
      return { kind: 'execute', portal: fields.cstring(), rowsMax: Math.max(0, fields.int32()) };
    case 'H':
      return { kind: 'flush' };
    case 'S':
      return { kind: 'sync' };
    case 'X':
      return { kind: 'terminate' };
    case 'F':
      return { kind: 'function-call' };
    case 'd':
    case 'c':
    case 'f':
      return { kind: 'copy' };
    default:
      throw violation(`message ${type} is not expected here`);
  }
}

export interface FieldReader {
  int16(): number;
  int32(): number;
  cstring(): string;
  bytes(count: number): Buffer;
  rest(): Buffer;
  /** A list with its 16-bit count in front. */
  list<T>(item: () => T): T[];
  /** Throws unless everything was read. */
  end(): void;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes UTF-8; throws SqlError 22021. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"', { cause });
  }
}

export function createFieldReader(body: Buffer): FieldReader {
  let at = 0;
  const bytes = (count: number): Buffer => {
    if (count < 0 || at + count > body.length) throw violation('insufficient data left in message');
    at += count;
    return body.subarray(at - count, at);
  };
  const int16 = (): number => bytes(2).readInt16BE();
  return {
    bytes,
    int16,
    int32: () => bytes(4).readInt32BE(),
    cstring: () => {
      const end = body.indexOf(0, at);
      if (end < 0) throw violation('invalid string in message');
      const text = bytes(end - at);
      at++;
      return decodeUtf8(text);
    },
    rest: () => bytes(body.length - at),
    list: (item) => Array.from({ length: int16() & 0xffff }, item),
    end: () => {
      if (at !== body.length) throw violation('invalid message format');
    },
  };
}

function violation(message: string): SqlError {
  return new SqlError('08P01', message);
}
