import type { DeviceKey } from './device-key.ts';

// A certificate request (PKCS #10, RFC 2986) with a key and no names: so little of ASN.1 that the device needs no library
// for it, and any key will do that can sign.

/** DER, in base64. */
export async function makeCertificateRequest(key: DeviceKey): Promise<string> {
  const version = der(0x02, Buffer.of(0));
  const noNames = der(0x30);
  const noAttributes = der(0xa0);
  const asked = der(0x30, version, noNames, key.publicKey, noAttributes);
  const signature = Buffer.from(await key.sign(asked));
  const numbers = [signature.subarray(0, 32), signature.subarray(32)].map(derNumber);
  const bits = der(0x03, Buffer.of(0), der(0x30, ...numbers));
  return der(0x30, asked, der(0x30, ecdsaWithSha256), bits).toString('base64');
}

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = Buffer.from('06082a8648ce3d040302', 'hex');

/** Tag, length and content; none here is longer than 65,535 bytes. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

/** A number that is not negative, in as few bytes as it takes. */
function derNumber(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = bytes.subarray(first < 0 ? bytes.length - 1 : first);
  return der(0x02, (digits[0] ?? 0) < 128 ? digits : Buffer.concat([Buffer.of(0), digits]));
}
