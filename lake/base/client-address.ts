import { BlockList, isIP } from 'node:net';
import { FirnError } from './errors.ts';

// Who asks, where proxies stand in between: each adds the address that it was asked from to the end of X-Forwarded-For. What
// proxies of ours have added is believed, and what stands before it may be written by whoever asks.

/** Gives the address of a client from that of its connection and the header. */
export type ClientAddress = (connection: string, forwardedFor: string | undefined) => string;

/** `trusted`: addresses and networks (`10.0.0.0/8`) of proxies. Throws FirnError `invalid` that names the one that is neither. */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const proxies = new BlockList();
  for (const text of trusted) add(proxies, text);
  const isProxy = (address: string): boolean => proxies.check(address, familyOf(address));
  return (connection, forwardedFor = '') => {
    let address = bare(connection);
    if (isIP(address) === 0) return connection;
    for (const hop of forwardedFor.split(',').toReversed()) {
      if (!isProxy(address)) break;
      const before = bare(hop.trim());
      if (isIP(before) === 0) break;
      address = before;
    }
    return address;
  };
}

function add(proxies: BlockList, text: string): void {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  const bitsMax = family === 4 ? 32 : 128;
  const isWrong = bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > bitsMax);
  if (family === 0 || isWrong || more.length > 0)
    throw new FirnError({
      ...{ code: 'invalid', operation: 'read proxies', subject: text },
      message: `${JSON.stringify(text)} is neither an address nor a network`,
      hint: 'write 192.0.2.7 or 192.0.2.0/24',
    });
  proxies.addSubnet(address, Number(bits ?? bitsMax), familyOf(address));
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** Without the port that some proxies add, and an IPv4 address as one. */
function bare(text: string): string {
  const [, inBrackets] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? [];
  const [, beforePort] = /^([\d.]+):\d+$/.exec(text) ?? [];
  const address = inBrackets ?? beforePort ?? text;
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
