import { z } from 'zod';
import { checkCertificate, checkedBy } from '../../lake/base/settings.ts';
import { parseVerifier } from '../../lake/pgwire/scram.ts';
import { roles } from './roles.ts';
import { checkUserName } from './user-name.ts';

// Settings of who is let in by HTTP, SQL and MQTT; a part of the gateway's schema.

const file = (description: string) => z.string().default('').describe(description);

export const usersSetting = z
  .array(
    z.strictObject({
      name: z.string().superRefine(checkedBy(checkUserName)),
      roles: z.array(z.enum(roles)).min(1),
      verifier: z.string().superRefine(checkedBy(parseVerifier)),
    }),
  )
  .superRefine((users, context) => {
    users.forEach(({ name }, index) => {
      if (users.findIndex((other) => other.name === name) < index)
        context.addIssue({ code: 'custom', path: [index, 'name'], message: `${name} is there twice` });
    });
  })
  .default([])
  .describe(
    'Local users beside those of firn users: names, roles (ingest, read, admin) and what firn users verifier prints',
  );

export const tlsSettings = z
  .strictObject({
    certFile: file(
      'Certificate chain of all listeners, PEM; read again when it changes; empty: a certificate of the site',
    ),
    keyFile: file('Private key of certFile, PEM'),
    names: z
      .array(z.string().regex(/^[a-zA-Z0-9.:-]+$/, 'a host name or an address'))
      .default([])
      .describe("Names and addresses in the site's certificate, beside those of the machine"),
    require: z
      .boolean()
      .default(true)
      .describe('Refuse HTTP and SQL without TLS from other machines, where credentials are needed'),
  })
  .superRefine(checkCertificate)
  .prefault({});
