import type { Clock } from '../../../lake/base/clock.ts';
import type { HeadOf } from '../table.ts';
import { type RestCatalogSettings, restCatalog } from './client.ts';
import { restHead } from './head.ts';

/** Who decides which state of a table is the newest; undefined: the object store alone. A tenant is a namespace. */
export function headsOf(
  settings: RestCatalogSettings & { readonly kind: 'object-store' | 'rest' },
  clock: Clock,
): HeadOf | undefined {
  if (settings.kind === 'object-store') return undefined;
  const catalog = restCatalog(settings, clock);
  return ({ tenant, name }) => restHead(catalog, tenant, name);
}
