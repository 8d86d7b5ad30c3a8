import { FirnError, messageOf } from '../base/errors.ts';
import type { ByteWriter } from '../sql/cells/byte-writer.ts';
import { SqlError, sqlstateOf } from '../sql/errors.ts';
import type { PgType } from './types.ts';

// What the server sends. https://www.postgresql.org/docs/16/protocol-message-formats.html

export type TransactionStatus = 'I' | 'T' | 'E';

/** 0 is text, 1 binary. */
export type Format = 0 | 1;

/** A column of a result as the client is told about it. */
export interface ResultColumn {
  readonly name: string;
  readonly type: PgType;
  readonly format: Format;
}

/** Messages that are only their type. */
export const empty = {
  parseComplete: '1',
  bindComplete: '2',
  closeComplete: '3',
  emptyQueryResponse: 'I',
  noData: 'n',
  portalSuspended: 's',
} as const;

export function writeEmpty(out: ByteWriter, name: keyof typeof empty): void {
  out.begin(empty[name]);
  out.end();
}

export const authentication = { ok: 0, cleartext: 3, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

/** `data` follows the code: mechanisms or a message of SASL. */
export function writeAuthentication(
  out: ByteWriter,
  step: keyof typeof authentication,
  data?: string | readonly string[],
): void {
  out.begin('R');
  out.int32(authentication[step]);
  if (typeof data === 'string') out.text(data);
  else if (data) for (const item of [...data, '']) out.cstring(item);
  out.end();
}

/** The newest version is sent as one number with its major part, as PostgreSQL does. */
export function writeNegotiateProtocolVersion(out: ByteWriter, unknownOptions: readonly string[]): void {
  out.begin('v');
  out.int32(3 << 16);
  out.int32(unknownOptions.length);
  for (const option of unknownOptions) out.cstring(option);
  out.end();
}

export function writeParameterStatus(out: ByteWriter, name: string, value: string): void {
  out.begin('S');
  out.cstring(name);
  out.cstring(value);
  out.end();
}

export function writeBackendKeyData(out: ByteWriter, processId: number, secret: Buffer): void {
  out.begin('K');
  out.int32(processId);
  out.bytes(secret);
  out.end();
}

export function writeReadyForQuery(out: ByteWriter, status: TransactionStatus): void {
  out.begin('Z');
  out.text(status);
  out.end();
}

export function writeCommandComplete(out: ByteWriter, tag: string): void {
  out.begin('C');
  out.cstring(tag);
  out.end();
}

export function writeParameterDescription(out: ByteWriter, oids: readonly number[]): void {
  out.begin('t');
  out.int16(oids.length);
  for (const oid of oids) out.int32(oid);
  out.end();
}

/** Columns belong to no table: their object id and number are 0. */
export function writeRowDescription(out: ByteWriter, columns: readonly ResultColumn[]): void {
  out.begin('T');
  out.int16(columns.length);
  for (const { name, type, format } of columns) {
    out.cstring(name);
    out.int32(0);
    out.int16(0);
    out.int32(type.oid);
    out.int16(type.length);
    out.int32(type.modifier);
    out.int16(format);
  }
  out.end();
}

export type Severity = 'ERROR' | 'FATAL' | 'WARNING';

/** ErrorResponse, or NoticeResponse for a warning. */
export function writeError(out: ByteWriter, severity: Severity, error: unknown): void {
  const sql = error instanceof SqlError ? error : undefined;
  const fields: readonly (readonly [string, string | number | undefined])[] = [
    ['S', severity],
    ['V', severity],
    ['C', sqlstateOf(error)],
    ['M', messageOf(error)],
    ['D', sql?.detail],
    ['H', sql?.hint ?? (error instanceof FirnError ? error.hint : undefined)],
    ['P', sql?.position],
  ];
  out.begin(severity === 'WARNING' ? 'N' : 'E');
  for (const [type, value] of fields) {
    if (value === undefined) continue;
    out.text(type);
    out.cstring(String(value));
  }
  out.uint8(0);
  out.end();
}
