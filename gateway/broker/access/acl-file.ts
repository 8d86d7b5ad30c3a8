import { FirnError } from '../../../lake/base/errors.ts';
import { filterCovers, topicMatches } from '../topic-filter.ts';

// Who may read and write which topics, in the format of mosquitto's acl_file:
//
//   topic [read|write|readwrite|deny] FILTER     before any `user` line: for clients without a user name
//   user NAME                                     the topic lines after it are for this user
//   pattern [read|write|readwrite|deny] FILTER    for every client with a user name or id; %u and %c stand for them
//
// What nothing lets is refused; a deny that matches wins.

type Permission = 'read' | 'write' | 'readwrite' | 'deny';
type Action = 'read' | 'write';

interface Rule {
  readonly permission: Permission;
  readonly filter: string;
}

export interface AclClient {
  readonly username: string | undefined;
  readonly clientId: string;
}

export interface Acl {
  /** Everything is let. */
  readonly isOpen: boolean;
  /** Whether a message of this topic may be published by, or delivered to, the client. */
  allows(client: AclClient, action: Action, topic: string): boolean;
  /** Whether it may subscribe: some rule lets it read everything that the filter can match. */
  allowsFilter(client: AclClient, filter: string): boolean;
}

export const openAcl: Acl = { isOpen: true, allows: () => true, allowsFilter: () => true };

/** Throws FirnError `invalid` that names the line. */
export function parseAcl(text: string, path: string): Acl {
  const anonymous: Rule[] = [];
  const users = new Map<string, Rule[]>();
  const patterns: Rule[] = [];
  let topics = anonymous;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [keyword = '', rest = ''] = split(line);
    if (keyword === 'user' && rest !== '') {
      topics = users.get(rest) ?? [];
      users.set(rest, topics);
    } else if ((keyword === 'topic' || keyword === 'pattern') && rest !== '') {
      const rule = parseRule(rest);
      if (!isFilter(rule.filter)) throw wrongLine(path, index, `${rule.filter} is no topic filter`);
      (keyword === 'topic' ? topics : patterns).push(rule);
    } else throw wrongLine(path, index, `${JSON.stringify(line)} is no rule`);
  }
  const rulesOf = (client: AclClient): readonly Rule[] => {
    const own = client.username === undefined ? anonymous : (users.get(client.username) ?? []);
    return [...own, ...patterns.flatMap((rule) => filledIn(rule, client))];
  };
  return {
    isOpen: false,
    allows: (client, action, topic) => {
      const rules = rulesOf(client).filter(({ filter }) => topicMatches(filter, topic));
      return !rules.some(({ permission }) => permission === 'deny') && rules.some(lets(action));
    },
    allowsFilter: (client, filter) => {
      const rules = rulesOf(client).filter((rule) => filterCovers(rule.filter, filter));
      return !rules.some(({ permission }) => permission === 'deny') && rules.some(lets('read'));
    },
  };
}

const lets =
  (action: Action) =>
  ({ permission }: Rule): boolean =>
    permission === action || permission === 'readwrite';

/** A name with wildcards would give its owner more than is meant; such a pattern does not hold for it. */
function filledIn({ permission, filter }: Rule, { username, clientId }: AclClient): Rule[] {
  const fits = (value: string | undefined): value is string => value !== undefined && !/[+#/]/.test(value);
  if (filter.includes('%u') && !fits(username)) return [];
  if (filter.includes('%c') && !fits(clientId)) return [];
  // By one pass: a user called %c stays that.
  return [
    {
      permission,
      filter: filter.replaceAll(/%[uc]/g, (name) => (name === '%u' ? (username ?? '') : clientId)),
    },
  ];
}

function parseRule(text: string): Rule {
  const [first = '', rest = ''] = split(text);
  const permission = (['read', 'write', 'readwrite', 'deny'] as const).find((name) => name === first);
  return permission !== undefined && rest !== ''
    ? { permission, filter: rest }
    : { permission: 'readwrite', filter: text };
}

/** The first word, and all after it: a topic may have spaces. */
function split(line: string): [string, string] {
  const at = line.search(/\s/);
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at).trim()];
}

const isFilter = (filter: string): boolean =>
  filter.split('/').every((level, index, levels) => {
    if (level.includes('#')) return level === '#' && index === levels.length - 1;
    return !level.includes('+') || level === '+';
  });

const wrongLine = (path: string, index: number, message: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT access rules', subject: `${path}:${index + 1}` },
    message: `${path}, line ${index + 1}: ${message}`,
    hint: 'a rule is: topic [read|write|readwrite|deny] FILTER, pattern the same with %u and %c, or user NAME',
  });
