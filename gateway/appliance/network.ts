import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SiteFile } from '../../provisioning/site-file.ts';
import type { Places } from './places.ts';

// A site's network in the words of systemd-networkd, systemd-timesyncd and iwd. It is written to memory at each start:
// the root can't be written, and nothing of an older configuration is left behind.

export function writeNetwork(site: SiteFile & { readonly hostname: string }, places: Places): void {
  const folder = join(places.run, 'systemd/network');
  const drop = join(places.run, 'systemd/timesyncd.conf.d');
  for (const each of [folder, drop]) mkdirSync(each, { recursive: true });
  const wired = join(folder, '10-site.network');
  if (site.network === undefined) rmSync(wired, { force: true });
  else writeFileSync(wired, networkFile(site.network));
  const time = join(drop, 'site.conf');
  if (site.timeServers === undefined) rmSync(time, { force: true });
  else writeFileSync(time, `[Time]\nNTP=${site.timeServers.join(' ')}\nFallbackNTP=\n`);
  writeWireless(site.wifi, places);
  writeFileSync(join(places.run, 'firn-hostname'), `${site.hostname}\n`);
}

/** Networks and settings are in folders of their own: see iwd.service.d of the image. */
function writeWireless(wifi: SiteFile['wifi'], places: Places): void {
  const networks = join(places.run, 'iwd');
  const settings = join(places.run, 'iwd-settings');
  for (const folder of [networks, settings]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  if (wifi === undefined) return;
  const { ssid, passphrase, country } = wifi;
  writeFileSync(join(networks, wirelessFileName(ssid)), wirelessFile(passphrase), { mode: 0o600 });
  if (country !== undefined) writeFileSync(join(settings, 'main.conf'), `[General]\nCountry=${country}\n`);
}

function networkFile({ address, gateway, dns }: NonNullable<SiteFile['network']>): string {
  const lines = [
    '[Match]\nName=en* eth*\n\n[Network]',
    `Address=${address}`,
    ...(gateway === undefined ? [] : [`Gateway=${gateway}`]),
    ...dns.map((each) => `DNS=${each}`),
    'MulticastDNS=yes\n',
  ];
  return lines.join('\n');
}

/** iwd's rule for names: plain ones as they are, all others as `=` and hexadecimal. Source: iwd.network(5). */
export const wirelessFileName = (ssid: string): string =>
  `${/^[A-Za-z0-9_ -]+$/.test(ssid) ? ssid : `=${Buffer.from(ssid).toString('hex')}`}.psk`;

const wirelessFile = (passphrase: string): string => `[Security]\nPassphrase=${passphrase}\n`;
