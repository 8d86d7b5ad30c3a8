import { join } from 'node:path';

/** Where an appliance keeps what. Tests and other roots give a folder that stands for `/`. */
export interface Places {
  /** The boot partition, which any computer can read. */
  readonly boot: string;
  /** What only set-up writes, and the gateway may read. */
  readonly config: string;
  /** The gateway's own. */
  readonly gateway: string;
  /** Downloads, and what an update that is under way must know after the restart. */
  readonly updates: string;
  /** Gone with the next start. */
  readonly run: string;
  /** Version of the running slot. */
  readonly release: string;
  /** Names of this machine: processor serial number, board. */
  readonly devices: string;
}

export const placesUnder = (root: string): Places => ({
  boot: join(root, 'efi'),
  config: join(root, 'data/config'),
  gateway: join(root, 'data/firn'),
  updates: join(root, 'data/updates'),
  run: join(root, 'run'),
  release: join(root, 'etc/firn-release'),
  devices: join(root, 'sys/class/net'),
});

export const gatewayConfigFile = (places: Places): string => join(places.config, 'gateway.yaml');
export const usersFile = (places: Places): string => join(places.config, 'mqtt-users');
/** Authorities that the site's file named. */
export const authorityFile = (places: Places): string => join(places.config, 'authority.pem');
