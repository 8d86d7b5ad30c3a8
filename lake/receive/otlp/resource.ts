import { readVarint32 } from '../protobuf.ts';
import { objectJson, type Pair, readKeyValue } from './any-value.ts';
import {
  type BufferCursor,
  eachField,
  eachMessage,
  messageTag,
  readText,
  varintTag,
  within,
} from './wire.ts';

// What all three signals have in common: Resource (field 1 of a Resource... message) and InstrumentationScope (field 1
// of a Scope... message).

export interface Resource {
  readonly attributes: readonly Pair[];
  /** The bytes of the message: equal bytes are the same resource. */
  readonly bytes: Buffer;
}

const noBytes = Buffer.alloc(0);

/** The resource of the message between the cursor and its end; the cursor stays where it is. */
export function readResource(cursor: BufferCursor): Resource {
  let bytes: Buffer = noBytes;
  const attributes: Pair[] = [];
  eachMessage(cursor, 1, () => {
    bytes = cursor.bytes.subarray(cursor.pos, cursor.end);
    eachMessage(cursor, 1, () => attributes.push(readKeyValue(cursor)));
  });
  return { attributes, bytes };
}

/** The text of an attribute, '' when it is absent. */
export function attributeText({ attributes }: Pick<Resource, 'attributes'>, key: string): string {
  return attributes.findLast((pair) => pair.key === key)?.value.text ?? '';
}

export const serviceOf = (resource: Resource): string =>
  attributeText(resource, 'service.name') || 'unknown_service';

export interface Scope {
  readonly name: string;
  readonly version: string;
  readonly attributes: readonly Pair[];
  readonly droppedAttributes: number;
}

const nameTag = messageTag(1);
const versionTag = messageTag(2);
const attributesTag = messageTag(3);
const droppedTag = varintTag(4);

/** The scope of the message between the cursor and its end; the cursor stays where it is. */
export function readScope(cursor: BufferCursor): Scope {
  const scope = { name: '', version: '', attributes: [] as Pair[], droppedAttributes: 0 };
  eachMessage(cursor, 1, () =>
    eachField(cursor, (tag) => {
      if (tag === nameTag) scope.name = readText(cursor);
      else if (tag === versionTag) scope.version = readText(cursor);
      else if (tag === droppedTag) scope.droppedAttributes = readVarint32(cursor);
      else if (tag === attributesTag)
        return within(cursor, () => scope.attributes.push(readKeyValue(cursor)));
      else return false;
      return true;
    }),
  );
  return scope;
}

/** As JSON; null where there is nothing to say. */
export function scopeJson({ name, version, attributes }: Scope): string | null {
  if (name === '' && version === '' && attributes.length === 0) return null;
  const parts = [`"name":${JSON.stringify(name)}`];
  if (version !== '') parts.push(`"version":${JSON.stringify(version)}`);
  if (attributes.length > 0) parts.push(`"attributes":${objectJson(attributes)}`);
  return `{${parts.join(',')}}`;
}
