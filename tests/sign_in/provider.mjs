// An OpenID provider of somebody else's: whoever types a login is that, with any password.
//
// It prints its issuer, reads a line with the redirect URI of its one client, and serves from then on. Of the login
// `ada@example.com#second`, `ada@example.com` is the e-mail address; `#unverified` behind it says that it is not verified.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'

import Provider from 'oidc-provider'

const server = createServer((request, response) => answer(request, response))
let answer = (_, response) => response.writeHead(503).end()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const issuer = `http://localhost:${server.address().port}`
console.log(issuer)

const [redirectUri] = await once(createInterface(process.stdin), 'line')
const provider = new Provider(issuer, {
  clients: [{ client_id: 'latchkey', client_secret: process.env.CLIENT_SECRET, redirect_uris: [redirectUri] }],
  claims: { email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['made up'] },
  findAccount: (_, login) => ({ accountId: login, claims: () => claimsOf(login) }),
  ttl: { AccessToken: 60, Grant: 600, IdToken: 60, Interaction: 600, Session: 600 },
})
answer = provider.callback()
console.log('serving')

function claimsOf(login) {
  const [email, ...said] = login.split('#')
  return { sub: login, email, email_verified: !said.includes('unverified'), name: email.split('@')[0] }
}
