"""From a mail's values to the server's receipt. Actors need `mailer`, `mails` and `errors`.

mailer       one mail, from its values to the server's receipt
mails        which kinds of mail there are, and what each is told
rendering    a mail's values and the templates -> subject, text, HTML
message      subject, text, HTML and addresses -> the bytes of one message
pool         connections, shared and reused;  connection: one conversation
outcome      what the server's answer means for the mail;  errors: the meanings
"""
