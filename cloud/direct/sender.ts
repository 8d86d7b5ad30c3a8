import { FirnError } from '../../lake/base/errors.ts';
import { type SiteId, siteId } from '../../lake/model/ids.ts';
import type { Restriction } from '../tenants/access.ts';

// For which site a key sends, and whether it may.

export type Signals = readonly NonNullable<Restriction['signals']>[number][];

/** The site that rows are of, or why the key may not send them. */
export function siteOf(
  named: string | undefined,
  restriction: Restriction | undefined,
  makes: Signals,
  otherwise: string,
): SiteId | FirnError {
  const { sites, signals, labels } = restriction ?? {};
  if (labels)
    return denied(
      'it sees rows with some labels only, and nothing sees to it that it sends those',
      'make one without labels',
    );
  const not = signals && makes.filter((signal) => !signals.includes(signal));
  if (not && not.length > 0)
    return denied(
      `it is not for ${not.join(' and ')}, which this endpoint makes rows of`,
      'make one for them',
    );
  if (sites && named === undefined && sites.length > 1)
    return wrong(`the key is for the sites ${sites.join(', ')}`, 'name one in the header X-Firn-Site');
  const site = named ?? sites?.[0] ?? otherwise;
  if (sites && !sites.includes(site))
    return denied('it is not for this site', `send for ${sites.join(' or ')}`);
  try {
    return siteId(site);
  } catch (error) {
    return wrong(`X-Firn-Site: ${(error as FirnError).message}`, (error as FirnError).hint ?? '');
  }
}

const denied = (why: string, hint: string): FirnError =>
  new FirnError({
    ...{ code: 'denied', operation: 'receive', subject: 'key', hint },
    message: `this key may not send this: ${why}; ${hint}`,
  });

const wrong = (message: string, hint: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'receive', subject: 'site', hint, message: `${message}; ${hint}` },
  });
