"""What gunicorn serves: `gunicorn wsgi:application`."""

import gc

import app as opsledger
from app.sharing import share_metrics

share_metrics()  # the application is imported by its first use, so this comes before any metric
application = opsledger.create_app()

# What is loaded by now stays until the process ends: the garbage collector need not walk it again.
gc.collect()
gc.freeze()
