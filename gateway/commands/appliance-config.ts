import { existsSync } from 'node:fs';
import { FirnError } from '../../lake/base/errors.ts';
import { gatewayConfigFile, type Places, placesUnder } from '../appliance/places.ts';
import { type GatewayConfig, loadGatewayConfig } from '../config.ts';

/** The configuration of the gateway on this appliance. */
export function applianceConfig(places: Places): GatewayConfig {
  const path = gatewayConfigFile(places);
  if (existsSync(path)) return loadGatewayConfig(['--config', path], {});
  throw new FirnError({
    ...{ code: 'unsupported', operation: 'read configuration', subject: path },
    message: `there is no ${path}: this is not an appliance, or it was not set up`,
    hint: 'the command is for devices that were flashed with a Firn image; see firmware-images/README.md',
  });
}

/** Flags for the configuration of a gateway: as given, or of the one on this appliance when nothing is. */
export function applianceConfigFlags(given: readonly string[]): readonly string[] {
  const path = gatewayConfigFile(placesUnder('/'));
  return given.length === 0 && existsSync(path) ? ['--config', path] : given;
}
