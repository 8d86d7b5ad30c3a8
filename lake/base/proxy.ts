/** Options of an HTTP agent that goes through a proxy: requests of http as they are, those of https by CONNECT. '': none. */
export const proxyEnv = (proxy: string) =>
  proxy === '' ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } };
