import { z } from 'zod';

/** A route of an HTTP API, as its handler and its documentation both take it. */
export interface RouteDescription {
  readonly method: 'get' | 'post' | 'delete';
  /** With `{name}` for what varies. */
  readonly path: string;
  /** Whose key it takes: an operator's alone, or also one of the tenant with the scope admin. */
  readonly by: 'operator' | 'admin';
  readonly body: z.ZodType;
  /** Parameters of the URL. */
  readonly query?: z.ZodObject;
  /** What is in `data` of the answer. */
  readonly answer: z.ZodType;
  readonly summary: string;
}

/** The OpenAPI 3.1 document of some routes below a path. */
export function openApiOf(base: string, routes: Readonly<Record<string, RouteDescription>>): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const [operationId, route] of Object.entries(routes)) {
    const path = `${base}${route.path}`;
    paths[path] = { ...paths[path], [route.method]: operation(operationId, route) };
  }
  const securitySchemes = {
    basic: { type: 'http', scheme: 'basic', description: 'Id and secret of a key' },
    bearer: { type: 'http', scheme: 'bearer', description: 'Secret of a key' },
  };
  return {
    openapi: '3.1.0',
    info: { title: 'Firn: tenants and keys', version: '1' },
    ...{ paths, components: { securitySchemes }, security: [{ basic: [] }, { bearer: [] }] },
  };
}

function operation(
  operationId: string,
  { path, method, by, body, query, answer, summary }: RouteDescription,
): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const schema = z.object({ status: z.literal('success'), data: answer });
  const json = (of: z.ZodType, io: 'input' | 'output') => ({
    'application/json': { schema: z.toJSONSchema(of, { io }) },
  });
  return {
    ...{
      operationId,
      summary,
      description: `For ${by === 'operator' ? 'operators' : 'operators, and the tenant’s keys with the scope admin'}.`,
    },
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...Object.entries(query?.shape ?? {}).map(([name, of]) => ({
        ...{ name, in: 'query', required: false, description: (of as z.ZodType).description ?? '' },
        schema: z.toJSONSchema(of as z.ZodType, { io: 'input', unrepresentable: 'any' }),
      })),
    ],
    ...(method === 'post' && { requestBody: { content: json(body, 'input') } }),
    responses: {
      200: { description: 'Done', content: json(schema, 'output') },
      default: { description: 'Refused; `error` says why', content: json(errorSchema, 'output') },
    },
  };
}

const errorSchema = z.object({ status: z.literal('error'), errorType: z.string(), error: z.string() });
