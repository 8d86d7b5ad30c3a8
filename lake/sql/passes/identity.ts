import { as, call, type Rule } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';

/** Keywords of the session (`current_user`, `current_catalog`, ...) are calls of the catalog's macros of that name. */
export const identity: Rule = (node) => {
  const value = as(node, 'SQLValueFunction');
  const [, name] =
    /^SVFOP_(CURRENT_ROLE|CURRENT_USER|USER|SESSION_USER|CURRENT_CATALOG|CURRENT_SCHEMA)$/.exec(
      value?.op ?? '',
    ) ?? [];
  return name === undefined ? undefined : call([catalogSchema, name.toLowerCase()], [], value?.location);
};
