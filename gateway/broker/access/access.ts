import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Logger } from '../../../lake/base/log.ts';
import { type Acl, openAcl, parseAcl } from './acl-file.ts';
import { createPasswordCheck, parseUsers, type Users } from './password-file.ts';
import { watchFiles } from './watched-file.ts';

/** Users that are kept elsewhere, with what they may do. */
export interface OtherUsers {
  prove(name: string, password: Uint8Array): Promise<OtherUser | undefined>;
  /** What is stored of a user's password now; undefined: there is no such user. */
  storedOf(name: string): string | undefined;
  onChange(listener: () => void): Disposable;
}

interface OtherUser {
  readonly stored: string;
  readonly may: Permitted;
}

/** Which topics do not matter here: the access rules say that. */
interface Permitted {
  readonly read: boolean;
  readonly write: boolean;
}

export interface AccessOptions {
  /** '' : there are no users. */
  readonly usersFile: string;
  /** '' : who is let in may read and write everything. */
  readonly aclFile: string;
  /** Asked for names that the file has not. */
  readonly others?: OtherUsers | undefined;
  /** Clients without a user name and without a certificate are let in. */
  readonly anonymous: boolean;
  /** Where the user name of a client with a certificate comes from. */
  readonly certificateUser: 'cn' | 'san' | 'none';
}

/** Who a client is: let in, with or without a name. */
export interface Identity {
  readonly username: string | undefined;
  /** Undefined: both. */
  readonly may?: Permitted;
}

export interface Access extends Disposable {
  /** Undefined: not let in. */
  authenticate(
    socket: unknown,
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<Identity | undefined>;
  /** False for a user who is not there any more, or has another password. */
  stillKnown(identity: Identity): boolean;
  readonly acl: Acl;
}

/** Throws FirnError `invalid` that names the line, or what the file system says. `onChange`: users have changed. */
export function openAccess(options: AccessOptions, logger: Logger, onChange: () => void): Access {
  const { usersFile, aclFile, others, anonymous, certificateUser } = options;
  const users = watchFiles(
    usersFile === '' ? [] : [usersFile],
    ([text]): Users => (text === undefined ? new Map() : parseUsers(text, usersFile)),
    logger,
    onChange,
  );
  const rules = watchFiles(
    aclFile === '' ? [] : [aclFile],
    ([text]): Acl => (text === undefined ? openAcl : parseAcl(text, aclFile)),
    logger,
  );
  const check = createPasswordCheck();
  const following = others?.onChange(onChange);
  /** With which password somebody was let in. */
  const hashes = new WeakMap<Identity, string>();
  const storedOf = (name: string): string | undefined => users.current.get(name) ?? others?.storedOf(name);
  const prove = async (username: string, password: Uint8Array): Promise<Identity | undefined> => {
    if (others && !users.current.has(username)) {
      const known = await others.prove(username, password);
      return known && remembered({ username, may: known.may }, known.stored);
    }
    const isRight = await check(users.current, username, password);
    return isRight ? remembered({ username }, storedOf(username) ?? '') : undefined;
  };
  const remembered = (identity: Identity, stored: string): Identity => {
    hashes.set(identity, stored);
    return identity;
  };
  return {
    authenticate: async (socket, username, password) => {
      const certified = certificateUser === 'none' ? undefined : certifiedName(socket, certificateUser);
      if (certified !== undefined) return { username: certified };
      // Without users a name is only somebody's word: no rule is to believe it.
      const isWord = usersFile === '' && others === undefined;
      if (username === undefined || isWord) return anonymous ? { username: undefined } : undefined;
      return prove(username, password ?? new Uint8Array());
    },
    stillKnown: (identity) => {
      const hash = hashes.get(identity);
      return hash === undefined || storedOf(identity.username ?? '') === hash;
    },
    get acl() {
      return rules.current;
    },
    [Symbol.dispose]: () => {
      following?.[Symbol.dispose]();
      users[Symbol.dispose]();
      rules[Symbol.dispose]();
    },
  };
}

/** The name in a certificate that our authority has signed; undefined without one. */
function certifiedName(socket: unknown, from: 'cn' | 'san'): string | undefined {
  const tls = socket as Partial<TLSSocket> | undefined;
  if (tls?.authorized !== true || typeof tls.getPeerCertificate !== 'function') return undefined;
  const certificate = tls.getPeerCertificate() as Partial<PeerCertificate>;
  const common = certificate.subject?.CN;
  const name = from === 'san' ? firstAlternative(certificate.subjectaltname) : [common].flat()[0];
  return name === undefined || name === '' ? undefined : name;
}

/** `DNS:pump-1, email:a@b` → `pump-1`. */
const firstAlternative = (names: string | undefined): string | undefined =>
  /^(?:DNS|URI|email|IP Address):([^,]+)/.exec(names ?? '')?.[1]?.trim();
