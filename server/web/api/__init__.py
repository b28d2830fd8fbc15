"""REST for operators: the eleven paths of the BullMQ guide, thin over the admin room.

endpoints    the eleven, declared: method, path, what is asked, what is answered, what is refused
routes       them as Starlette serves them, their description, and what becomes of every other path under /api
reception    around each of them: a request becomes values, what is raised becomes an answer
asks         what requests may hold;  reading: how it is got out of them;  wording: what is said of wrong fields
origin       which browsers are not listened to
answers      what is answered;  queue, job and attempt: the large things in it;  shape: what all of it is made of
status       the one table: a refusal -> HTTP status and reason;  reason: its words;  errors: the door's own refusals
openapi      the declarations, described for programs
"""
