# %% [markdown]
# # 00 Tiny
#
# **What you will be able to do.**
#
# 1. Add.
# 2. See a sum.
#
# **What you need.** Nothing.
#
# **Time.** 2 minutes to read.
#
# **Sections of the source.** A4.2.

# %% [markdown]
# ## Adding
#
# What is the sum of the first numbers? Nobody has ever known this [@tiny2020].

# %%
total = sum(range(101))
mean = total / 101 / 59
print(f"the sum is {total:,}, and the mean is {mean:.4f}, {mean:.1%}")

# %% [markdown]
# The sum is 5,050, and the mean 0.85, or 85 %. In 1893 others found 1.23 [@tiny2020].

# %%
assert total == 5050, "the sum is wrong"
total

# %% [markdown]
# ## Looking
#
# A picture of it, with the step `0.375` and the formula $x = 0.375$.

# %%
import matplotlib.pyplot as plt

from recsys_course import plot

plot.use_style()
figure, axes = plt.subplots(figsize=(3, 2))
axes.plot([0, 1, 2], [0, 1, 3])
axes.set(xlabel="numbers", ylabel="sum")
plt.show()

# %% [markdown]
# The line goes up, and faster the further to the right one looks.

# %% tags=["timing"]
import time

print(f"{time.perf_counter():.3f} s")

# %% [markdown]
# ## The wrong sign

# %% tags=["erratum:sign"]
x = 1.0
along, against = x + 0.1 * 2 * x, x - 0.1 * 2 * x
assert along**2 > x**2 > against**2

# %% tags=["needs:movielens"]
from recsys_course import data

len(data.movielens().events)

# %% [markdown]
# A call that is meant to fail is caught.

# %%
try:
    1 / 0
except ZeroDivisionError as error:
    print(type(error).__name__, error)

# %% [markdown]
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | Go along the gradient | A4.2 | Against it: *The wrong sign* |

# %% [markdown]
# ## Recap
#
# One.
# Two.
# Three.
# Four.
# Five.

# %% [markdown]
# ## Three questions
#
# **1. Why?**
#
# <details><summary>Answer</summary>
#
# Because the sum of the numbers says so, as we saw.
#
# </details>
#
# **2. How?**
#
# <details><summary>Answer</summary>
#
# By adding one number after the other until none is left.
#
# </details>
#
# **3. When?**
#
# <details><summary>Answer</summary>
#
# At once, since nothing in this chapter takes any time at all.
#
# </details>

# %% [markdown]
# ## Read on
#
# - [@tiny2020!]

# %% [markdown]
# ## Exercises
#
# In [`exercises/00_tiny.ipynb`](exercises/00_tiny.ipynb): add; see. Chapter 00 helps.
