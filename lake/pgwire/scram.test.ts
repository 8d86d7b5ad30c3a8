import { expect, test } from 'vitest';
import {
  decoyVerifier,
  isSecretOf,
  makePasswordVerifier,
  makeScramVerifier,
  parseVerifier,
  printVerifier,
  startScram,
} from './scram.ts';

// The example exchange of RFC 7677, section 3.
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const nonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
const clientFirst = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO';
const clientFinal =
  'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';

test('the exchange of RFC 7677', () => {
  const exchange = startScram(makeScramVerifier('pencil', salt, 4096), { makeNonce: () => nonce });
  expect(exchange.first(clientFirst)).toBe(
    `r=rOprNGfwEbeRWgbNEkqO${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
  );
  expect(exchange.final(clientFinal)).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test.each([
  ['a wrong secret', makeScramVerifier('pen', salt), clientFirst, clientFinal, 'denied'],
  ['a user that does not exist', decoyVerifier('user', Buffer.from('x')), clientFirst, clientFinal, 'denied'],
  [
    'a proof of another length',
    makeScramVerifier('pencil', salt),
    clientFirst,
    clientFinal.replace(/p=.*/, 'p=AAAA'),
    'denied',
  ],
  ['channel binding', makeScramVerifier('pencil', salt), 'p=tls-unique,,n=user,r=x', clientFinal, 'invalid'],
  [
    'another nonce',
    makeScramVerifier('pencil', salt),
    clientFirst,
    clientFinal.replace('%hv', '%hw'),
    'invalid',
  ],
  [
    'another header',
    makeScramVerifier('pencil', salt),
    clientFirst,
    clientFinal.replace('biws', 'eSws'),
    'invalid',
  ],
  ['rubbish', makeScramVerifier('pencil', salt), 'hello', clientFinal, 'invalid'],
])('%s is refused', (_, verifier, first, final, code) => {
  const exchange = startScram(verifier, { makeNonce: () => nonce });
  expect(() => {
    exchange.first(first);
    exchange.final(final);
  }).toThrow(expect.objectContaining({ code }));
});

test('a decoy has the same salt at every try', () => {
  const secret = Buffer.from('server');
  expect(decoyVerifier('a', secret).salt).toEqual(decoyVerifier('a', secret).salt);
  expect(decoyVerifier('a', secret).salt).not.toEqual(decoyVerifier('b', secret).salt);
});

test('a verifier is printed as PostgreSQL does, and read again; anything else is refused without being repeated', async () => {
  // Of the password of RFC 7677, "pencil".
  const theirs =
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=';
  expect(printVerifier(parseVerifier(theirs))).toBe(theirs);
  expect(await isSecretOf(parseVerifier(theirs), 'pencil')).toBe(true);
  expect(await isSecretOf(parseVerifier(theirs), 'pencils')).toBe(false);
  const ours = await makePasswordVerifier('pa\u0308ss', 4096);
  expect(await isSecretOf(parseVerifier(printVerifier(ours)), 'päss')).toBe(true);
  for (const wrong of [
    '',
    'secret',
    theirs.slice(1),
    theirs.replace('4096', '0'),
    `${theirs}x`,
    theirs.replace('WG5d', ''),
  ])
    expect(() => parseVerifier(wrong)).toThrow(/^a verifier is SCRAM-SHA-256\$iterations/);
});
