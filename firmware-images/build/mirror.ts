import { FirnError } from '../../lake/base/errors.ts';
import { run } from './run.ts';

/** Debian release that images are made of. */
export const suite = 'trixie';

/**
 * Where Debian's packages come from: `given`, or the mirror that this machine installs from. Lines of a sources.list
 * for the release, its updates and its security updates. A mirror that serves a fixed day makes an image repeatable.
 */
export async function sourcesOf(given: string | undefined): Promise<string[]> {
  const mirror = (given ?? (await mirrorOfThisMachine())).replace(/\/+$/, '');
  const components = 'main non-free-firmware';
  return [
    `deb ${mirror} ${suite} ${components}`,
    `deb ${mirror} ${suite}-updates ${components}`,
    `deb ${mirror}-security ${suite}-security ${components}`,
  ];
}

async function mirrorOfThisMachine(): Promise<string> {
  const printed = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)']);
  const mirror = printed.split('\n').find((uri) => /\/debian\/?$/.test(uri));
  if (mirror !== undefined) return mirror;
  throw new FirnError({
    code: 'not-found',
    operation: 'find a mirror',
    subject: '--mirror',
    message: 'this machine installs from no Debian mirror',
    hint: 'give one by --mirror URL; its security updates are expected at URL-security',
  });
}
