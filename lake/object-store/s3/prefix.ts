/** The prefix with its `/`, or ''. */
export function prefixOf({ prefix = '' }: { readonly prefix?: string }): string {
  const bare = prefix.replace(/^\/+|\/+$/g, '');
  return bare === '' ? '' : `${bare}/`;
}
