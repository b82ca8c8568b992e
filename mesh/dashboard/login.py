"""The one page that a stranger is shown: a form for a token, without a script or a style."""

from __future__ import annotations

LOGIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Parley: log in</title>
</head>
<body>
<main>
<h1>Parley</h1>
<p role="alert">{why}</p>
<form method="post" action="/login">
<p><label>Token <input name="token" type="password" autocomplete="current-password" required
 autofocus></label></p>
<p><button>Log in</button></p>
</form>
</main>
</body>
</html>
"""
