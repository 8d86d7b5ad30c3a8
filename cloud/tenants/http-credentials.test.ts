import { expect, test } from 'vitest';
import { tenantId } from '../../lake/model/ids.ts';
import { accessOfHeader } from './http-credentials.ts';

const secret = 'a-secret:with-a-colon';
const access = {
  keyId: 'k',
  tenant: tenantId('a'),
  scopes: new Set(['read'] as const),
  restriction: undefined,
};
const keys = {
  authenticate: (id: string, given: string) => (id === 'k' && given === secret ? access : undefined),
  authenticateSecret: (given: string) => (given === secret ? access : undefined),
};
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

test.each([basic(`k:${secret}`), `bearer ${secret}`, `Bearer   ${secret}`])('%s is the key', (header) => {
  expect(accessOfHeader(header, keys)).toBe(access);
});

test.each([
  undefined,
  '',
  'Basic',
  'Basic !',
  basic('k'),
  basic('k:'),
  'Bearer',
  'Bearer x',
  `Digest ${secret}`,
])('%s is none', (header) => expect(accessOfHeader(header, keys)).toBeUndefined());
