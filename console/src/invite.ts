/** The secret of an invitation link, taken out of the address bar before anything else can read it there. */

const INVITE = /^#\/invite\/([^/?#]+)$/;

export function takeLink(): string | null {
  const link = INVITE.exec(location.hash)?.[1];
  if (link === undefined) return null;
  history.replaceState(null, "", location.pathname);
  return decodeURIComponent(link);
}
