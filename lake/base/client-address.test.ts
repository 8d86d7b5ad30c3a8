import { expect, test } from 'vitest';
import { clientAddressBehind } from './client-address.ts';

const behind = clientAddressBehind(['127.0.0.1', '10.0.0.0/8', '2001:db8::/32']);

test.each([
  ['nobody says anything', '203.0.113.9', undefined, '203.0.113.9'],
  ['a client writes the header itself', '203.0.113.9', '192.0.2.1', '203.0.113.9'],
  ['a proxy says who asks', '127.0.0.1', '192.0.2.1', '192.0.2.1'],
  ['a client writes the header, and a proxy adds to it', '127.0.0.1', '198.51.100.1, 192.0.2.1', '192.0.2.1'],
  ['two proxies', '127.0.0.1', '192.0.2.1, 10.1.2.3', '192.0.2.1'],
  ['a client that claims to be a proxy', '127.0.0.1', '192.0.2.1, 10.1.2.3, 203.0.113.5', '203.0.113.5'],
  ['only proxies', '127.0.0.1', '10.1.2.3', '10.1.2.3'],
  ['a proxy that says nothing', '10.9.9.9', undefined, '10.9.9.9'],
  ['nonsense', '127.0.0.1', 'unknown', '127.0.0.1'],
  ['nonsense before an address', '127.0.0.1', '<script>, 192.0.2.1', '192.0.2.1'],
  ['an empty header', '127.0.0.1', '', '127.0.0.1'],
  ['ports', '127.0.0.1', '192.0.2.1:4711', '192.0.2.1'],
  ['IPv6 with a port', '2001:db8::7', '[2001:db9::1]:4711', '2001:db9::1'],
  ['IPv4 in IPv6', '::ffff:127.0.0.1', '::ffff:192.0.2.1', '192.0.2.1'],
])('%s', (_, connection, header, client) => {
  expect(behind(connection, header)).toBe(client);
});

test('without proxies the header means nothing', () => {
  expect(clientAddressBehind([])('127.0.0.1', '192.0.2.1')).toBe('127.0.0.1');
});

test.each(['proxy.example.com', '10.0.0.0/33', '10.0.0.0/8/8', '', '10.0.0.0/', '::/129'])(
  '%j is refused',
  (text) => {
    expect(() => clientAddressBehind([text])).toThrow(/neither an address nor a network/);
  },
);
